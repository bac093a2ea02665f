//! A set of keys (RFC 7517), and which of them a token may be signed with.
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use ring::digest::{Digest, SHA256, digest};
use serde::Deserialize;
use serde_json::Value;

use super::{MAX_JWKS, TokenError};
use crate::config;

/// More keys than any issuer has; a token without `kid` may be tried with each.
const MAX_KEYS: usize = 64;

/// Keys, without their secrets in any output.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// SHA-256 of the content, to tell whether a new one says anything new.
    digest: Option<Digest>,
}

struct Key {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.kid))
            .finish()
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWKS. Keys that are for encryption, of unknown kind, or secret are passed over:
    /// issuers publish new kinds before all readers know them.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        if content.len() > MAX_JWKS {
            return Err(format!("longer than {MAX_JWKS} bytes"));
        }
        let document: Document =
            serde_json::from_slice(content).map_err(|error| format!("not a JWKS: {error}"))?;
        let count = document.keys.len();
        let keys: Vec<Key> = document.keys.into_iter().filter_map(Key::read).collect();
        match keys.len() {
            0 => Err(format!("none of its {count} keys can verify a signature")),
            n if n > MAX_KEYS => Err(format!("has {n} keys, more than {MAX_KEYS}")),
            _ => Ok(Self {
                keys,
                digest: Some(digest(&SHA256, content)),
            }),
        }
    }

    /// The one key of a file with a shared secret (a final newline does not count).
    pub fn secret(content: &[u8]) -> Result<Self, String> {
        let secret = content.strip_suffix(b"\n").unwrap_or(content);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.len() < 32 {
            return Err("the secret has fewer than 32 bytes (RFC 7518, 3.2)".to_owned());
        }
        let key = Key {
            kid: None,
            algorithm: None,
            key: DecodingKey::from_secret(secret),
        };
        Ok(Self {
            keys: vec![key],
            digest: Some(digest(&SHA256, content)),
        })
    }

    /// Whether both were read from the same content.
    pub(super) fn same(&self, other: &Self) -> bool {
        let bytes = |set: &Self| set.digest.map(|digest| digest.as_ref().to_vec());
        self.digest.is_some() && bytes(self) == bytes(other)
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys a token with this `kid` and algorithm may be signed with: those of the `kid`,
    /// and those without one; all that fit if the token names none.
    pub(super) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a DecodingKey> {
        self.keys
            .iter()
            .filter(move |key| match (kid, key.kid.as_deref()) {
                (Some(wanted), Some(own)) => wanted == own,
                (_, None) | (None, _) => true,
            })
            .filter(move |key| {
                key.key.family() == algorithm.family()
                    && key.algorithm.is_none_or(|own| own == algorithm)
            })
            .map(|key| &key.key)
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        if value.get("kty").and_then(Value::as_str) == Some("oct") {
            return None;
        }
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(signs(named)?),
        };
        Some(Self {
            algorithm,
            key: DecodingKey::from_jwk(&jwk).ok()?,
            kid: jwk.common.key_id,
        })
    }
}

/// The signature algorithm a key says it is for; None: it is for something else.
fn signs(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    Some(match algorithm {
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::RS384 => Algorithm::RS384,
        KeyAlgorithm::RS512 => Algorithm::RS512,
        KeyAlgorithm::PS256 => Algorithm::PS256,
        KeyAlgorithm::PS384 => Algorithm::PS384,
        KeyAlgorithm::PS512 => Algorithm::PS512,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

/// The algorithm in the words of the configuration; None: not one of ours.
pub(super) const fn ours(algorithm: Algorithm) -> Option<config::Algorithm> {
    Some(match algorithm {
        Algorithm::HS256 => config::Algorithm::HS256,
        Algorithm::HS384 => config::Algorithm::HS384,
        Algorithm::HS512 => config::Algorithm::HS512,
        Algorithm::ES256 => config::Algorithm::ES256,
        Algorithm::ES384 => config::Algorithm::ES384,
        Algorithm::RS256 => config::Algorithm::RS256,
        Algorithm::RS384 => config::Algorithm::RS384,
        Algorithm::RS512 => config::Algorithm::RS512,
        Algorithm::PS256 => config::Algorithm::PS256,
        Algorithm::PS384 => config::Algorithm::PS384,
        Algorithm::PS512 => config::Algorithm::PS512,
        Algorithm::EdDSA => config::Algorithm::EdDsa,
        _ => return None,
    })
}

/// The library's error in our words.
pub(super) fn explain(error: &Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        _ => TokenError::Malformed,
    }
}
