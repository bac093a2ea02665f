//! Certificates, keys and trust bundles, in files or (from SDS) in place.
use std::{fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

/// PEM text in a file or in place; never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pem {
    /// A file that is read again when it changes.
    File(PathBuf),
    /// The text itself.
    Inline(Arc<str>),
}

impl Serialize for Pem {
    /// As it was written, but for text in place: a dump must not show keys.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(path) => to.serialize_newtype_variant("Pem", 0, "file", path),
            Self::Inline(_) => to.serialize_newtype_variant("Pem", 1, "inline", "(not shown)"),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Inline(_) => f.write_str("Inline(…)"),
        }
    }
}

/// What proves an identity, what is trusted, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    pub name: Arc<str>,
    /// The chain, leaf first; needs `key`.
    #[serde(default)]
    pub certificate: Option<Pem>,
    /// The private key, PKCS #8, PKCS #1 or SEC 1.
    #[serde(default)]
    pub key: Option<Pem>,
    /// Roots that peers' certificates must lead to.
    #[serde(default)]
    pub trust: Option<Pem>,
}
