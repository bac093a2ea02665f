//! JSON Web Tokens of one issuer: found, verified once, remembered.
//!
//! | module | concept |
//! | --- | --- |
//! | `token` | a verified token and its claims |
//! | `keys` | a JWKS, and which of its keys fits a token |
//! | `refresh` | when to fetch a JWKS again, as pure decisions |
//! | `cache` | verified tokens, bounded |
//! | `ring` | the signatures |
mod cache;
mod keys;
mod refresh;
mod ring;
mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, Uri};
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use keys::KeySet;
pub use refresh::{Fetch, Refresh};
pub use token::{Token, claim};

use crate::config::{Algorithm, ConfigError, Jwks, Jwt};
use crate::facts::Now;
use cache::Cache;

/// Longer tokens are refused unread.
pub const MAX_TOKEN: usize = 16 * 1024;
/// A longer JWKS is refused.
pub const MAX_JWKS: usize = 1024 * 1024;

/// Why a token is not taken. The texts go to the caller: they name no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TokenError {
    #[error("not a signed token")]
    Malformed,
    #[error("too long")]
    TooLong,
    #[error("more than one token")]
    Several,
    #[error("signed with an algorithm that is not accepted")]
    Algorithm,
    #[error("has header parameters that have to be understood and are not")]
    Critical,
    #[error("signed with a key that is not known")]
    UnknownKey,
    #[error("the signature does not match")]
    Signature,
    #[error("has no expiry")]
    NoExpiry,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    NotYet,
    #[error("of another issuer")]
    Issuer,
    #[error("for another audience")]
    Audience,
    #[error("the keys are not there yet")]
    NoKeys,
}

/// What an unverified token says about where it is from.
#[derive(Deserialize)]
struct Issued {
    iss: Option<String>,
}

/// Verifies the tokens of one issuer.
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    leeway: u64,
    claims_to_headers: Vec<(String, HeaderName)>,
    tenant_claim: Option<String>,
    keys: ArcSwap<KeySet>,
    cache: Cache,
    refresh: Option<Refresh>,
    file: Option<(String, bool)>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys.load().len())
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier as configured, without keys: [`replace`](Self::replace) brings them.
    ///
    /// # Errors
    /// A URL or header name that cannot be used.
    pub fn new(config: &Jwt) -> Result<Self, ConfigError> {
        ring::install();
        let mut claims_to_headers = Vec::new();
        for (claim, header) in &config.claims_to_headers {
            let name = HeaderName::from_bytes(header.as_bytes())
                .map_err(|error| ConfigError::at("claims_to_headers", error.to_string()))?;
            claims_to_headers.push((claim.clone(), name));
        }
        let (file, refresh) = match &config.jwks {
            Jwks::File(path) => (Some((path.clone(), false)), None),
            Jwks::SecretFile(path) => (Some((path.clone(), true)), None),
            Jwks::Url {
                url,
                cluster,
                refresh,
                timeout,
            } => {
                let uri: Uri = url
                    .parse()
                    .map_err(|_| ConfigError::at("jwks.url.url", "is not a URL"))?;
                let fetch = Fetch::new(cluster.clone(), uri, *timeout);
                (None, Some(Refresh::new(fetch, *refresh)))
            }
        };
        Ok(Self {
            issuer: config.issuer.clone(),
            audiences: config.audiences.clone(),
            algorithms: config.effective_algorithms(),
            leeway: config.leeway.as_secs(),
            claims_to_headers,
            tenant_claim: config.tenant_claim.clone(),
            keys: ArcSwap::from_pointee(KeySet::default()),
            cache: Cache::new(config.cache),
            refresh,
            file,
        })
    }

    /// The file the keys are in, if they are in one.
    pub fn file(&self) -> Option<&str> {
        self.file.as_ref().map(|(path, _)| path.as_str())
    }

    /// The schedule of fetches, if the keys are behind a URL.
    pub const fn refresh(&self) -> Option<&Refresh> {
        self.refresh.as_ref()
    }

    /// The headers that only this verifier may set.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.claims_to_headers.iter().map(|(_, name)| name)
    }

    /// Takes the content of the file, or the body of the answer, as the keys from now on. What
    /// was verified with keys that are gone is verified anew.
    ///
    /// # Errors
    /// Why it is no set of keys; the old keys stay.
    pub fn replace(&self, content: &[u8]) -> Result<(), String> {
        let secret = self.file.as_ref().is_some_and(|(_, secret)| *secret);
        let keys = if secret {
            KeySet::secret(content)?
        } else {
            KeySet::parse(content)?
        };
        if !keys.same(&self.keys.load()) {
            self.keys.store(Arc::new(keys));
            self.cache.clear();
        }
        Ok(())
    }

    /// The outcome of a fetch that [`Refresh::begin`] asked for: the body of a 200, or why not.
    ///
    /// # Errors
    /// Why there are no new keys; the old keys stay, and another fetch becomes due.
    pub fn fetched(&self, outcome: Result<&[u8], String>, now: Now) -> Result<(), String> {
        let result = outcome.and_then(|body| self.replace(body));
        if let Some(refresh) = &self.refresh {
            refresh.done(result.is_ok(), now.monotonic_ns);
        }
        result
    }

    /// Verifies a token; one that was verified before costs a hash and a comparison.
    pub fn verify(&self, text: &str, now: Now) -> Result<Arc<Token>, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let token = match self.cache.get(text) {
            Some(token) => token,
            None => {
                let keys = self.keys.load_full();
                let token = Arc::new(self.read(text, &keys)?);
                self.in_time(&token, now)?;
                // Keys that were replaced meanwhile must not be remembered by.
                if Arc::ptr_eq(&keys, &*self.keys.load()) {
                    self.cache.put(text, &token, now.unix);
                }
                return Ok(token);
            }
        };
        self.in_time(&token, now)?;
        Ok(token)
    }

    /// Signature, issuer and audience: what does not change with time.
    fn read(&self, text: &str, keys: &KeySet) -> Result<Token, TokenError> {
        let header = decode_header(text).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        if !keys::ours(header.alg).is_some_and(|own| self.algorithms.contains(&own)) {
            return Err(TokenError::Algorithm);
        }
        if keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        // Tokens of others end here: no signature is computed for them, no key looked for.
        let Issued { iss } = insecure_decode_claims(text).map_err(|_| TokenError::Malformed)?;
        if iss.as_deref() != Some(&*self.issuer) {
            return Err(TokenError::Issuer);
        }
        // Times are judged by our clock, issuer and audience below, where refusals have names.
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut error = TokenError::UnknownKey;
        for key in keys.candidates(header.kid.as_deref(), header.alg) {
            match decode::<Map<String, Value>>(text, key, &validation) {
                Ok(data) => return self.accept(data.claims),
                Err(why) => error = keys::explain(&why),
            }
        }
        Err(error)
    }

    fn accept(&self, claims: Map<String, Value>) -> Result<Token, TokenError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::Issuer);
        }
        let wanted = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| self.audiences.iter().any(|own| own == text))
        };
        let fits = match claims.get("aud") {
            _ if self.audiences.is_empty() => true,
            Some(Value::Array(list)) => list.iter().any(wanted),
            Some(single) => wanted(single),
            None => false,
        };
        if !fits {
            return Err(TokenError::Audience);
        }
        let headers = self
            .claims_to_headers
            .iter()
            .filter_map(|(name, header)| {
                let text = token::as_header(claim(&claims, name)?)?;
                Some((
                    header.clone(),
                    HeaderValue::from_bytes(text.as_bytes()).ok()?,
                ))
            })
            .collect();
        Token::new(claims, self.tenant_claim.as_deref(), headers).ok_or(TokenError::NoExpiry)
    }

    fn in_time(&self, token: &Token, now: Now) -> Result<(), TokenError> {
        if now.unix >= token.expires.saturating_add(self.leeway) {
            return Err(TokenError::Expired);
        }
        if now.unix.saturating_add(self.leeway) < token.not_before {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
