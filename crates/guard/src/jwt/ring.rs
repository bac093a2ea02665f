//! The signatures of tokens with *ring*, the library that TLS uses too: `jsonwebtoken` comes
//! without a cryptography of its own here, so that none is linked twice.
use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature::{
    self as sig, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: refuse_to_sign,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the cryptography of `jsonwebtoken` in this process. A provider that somebody else
/// installed before stays: it verifies the same signatures.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _other = PROVIDER.install_default();
    });
}

fn refuse_to_sign(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Verifier {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let good = match (self.algorithm.family(), self.key.kind()) {
            (AlgorithmFamily::Rsa, kind) => rsa(self.algorithm, kind, message, signature),
            (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(key)) => {
                ec(self.algorithm, key, message, signature)
            }
            (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(&sig::ED25519, key)
                    .verify(message, signature)
                    .is_ok()
            }
            (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => {
                mac(self.algorithm, secret, message, signature)
            }
            _ => false,
        };
        if good {
            Ok(())
        } else {
            Err(signature::Error::new())
        }
    }
}

fn rsa(algorithm: Algorithm, key: &DecodingKeyKind, message: &[u8], signature: &[u8]) -> bool {
    let parameters: &RsaParameters = match algorithm {
        Algorithm::RS256 => &sig::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &sig::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &sig::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &sig::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &sig::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &sig::RSA_PSS_2048_8192_SHA512,
        _ => return false,
    };
    match key {
        DecodingKeyKind::RsaModulusExponent { n, e } => RsaPublicKeyComponents { n, e }
            .verify(parameters, message, signature)
            .is_ok(),
        DecodingKeyKind::SecretOrDer(der) => UnparsedPublicKey::new(parameters, der)
            .verify(message, signature)
            .is_ok(),
    }
}

fn ec(algorithm: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let curve: &EcdsaVerificationAlgorithm = match algorithm {
        Algorithm::ES256 => &sig::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &sig::ECDSA_P384_SHA384_FIXED,
        _ => return false,
    };
    UnparsedPublicKey::new(curve, key)
        .verify(message, signature)
        .is_ok()
}

fn mac(algorithm: Algorithm, secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let kind = match algorithm {
        Algorithm::HS256 => hmac::HMAC_SHA256,
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => return false,
    };
    hmac::verify(&hmac::Key::new(kind, secret), message, signature).is_ok()
}
