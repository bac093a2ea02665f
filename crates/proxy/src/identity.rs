//! SPIFFE identities: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, read out of certificates.
use std::sync::Arc;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A workload identity; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    uri: Arc<str>,
    domain_end: usize,
}

/// Why a string or a certificate carries no usable identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("{0:?} is not a SPIFFE id (spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT)")]
    Malformed(String),
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the certificate has {0} URI names, not one")]
    Names(usize),
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// Parses a SPIFFE URI; the path must not be empty and has no query or fragment.
    pub fn parse(uri: &str) -> Result<Self, IdentityError> {
        let malformed = || IdentityError::Malformed(uri.to_owned());
        let rest = uri.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let (domain, path) = rest.split_once('/').ok_or_else(malformed)?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
        let fine = !domain.is_empty()
            && domain.bytes().all(|c| plain(c) && !c.is_ascii_uppercase())
            && path.split('/').all(|part| {
                !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
            });
        if !fine || uri.len() > 2048 {
            return Err(malformed());
        }
        Ok(Self {
            uri: uri.into(),
            domain_end: SCHEME.len() + domain.len(),
        })
    }

    /// Reads the one URI SAN of a certificate (X509-SVID: exactly one).
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let bad = |why: String| IdentityError::Certificate(why);
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| bad(error.to_string()))?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| bad(error.to_string()))?
            .map(|san| san.value.general_names.clone())
            .unwrap_or_default();
        let uris: Vec<&str> = names
            .iter()
            .filter_map(|name| {
                if let GeneralName::URI(uri) = name {
                    Some(*uri)
                } else {
                    None
                }
            })
            .collect();
        match uris.as_slice() {
            [one] => Self::parse(one),
            many => Err(IdentityError::Names(many.len())),
        }
    }

    /// The whole URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain, e.g. `cluster.local`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.uri
            .get(SCHEME.len()..self.domain_end)
            .unwrap_or_default()
    }

    /// The namespace in `/ns/NAMESPACE/…`, when the path has that form.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        let path = self.uri.get(self.domain_end..)?;
        path.strip_prefix("/ns/")?.split('/').next()
    }
}

/// Serial number (hex) and end of validity (RFC 3339, unix seconds) of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    pub serial: String,
    pub not_after: i64,
    pub not_before: i64,
}

impl CertificateFacts {
    /// Reads the facts out of DER.
    pub fn of(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        Ok(Self {
            serial: certificate.tbs_certificate.serial.to_str_radix(16),
            not_after: certificate.validity().not_after.timestamp(),
            not_before: certificate.validity().not_before.timestamp(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_identity() {
        let id = SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/payment").unwrap();
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.namespace(), Some("shop"));
        assert_eq!(
            SpiffeId::parse("spiffe://cluster.local/other")
                .unwrap()
                .namespace(),
            None
        );
    }

    #[test]
    fn malformed_identities_are_refused() {
        for bad in [
            "",
            "spiffe://",
            "spiffe://x",
            "spiffe://x/",
            "spiffe://x//a",
            "spiffe://X/a",
            "https://x/a",
            "spiffe://x/a?b",
            "spiffe://x/a#b",
            "spiffe://x/a/../b",
            "spiffe://x:1/a",
        ] {
            assert!(SpiffeId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn garbage_is_no_certificate() {
        assert!(matches!(
            SpiffeId::of_certificate(b"nonsense"),
            Err(IdentityError::Certificate(_))
        ));
    }
}
