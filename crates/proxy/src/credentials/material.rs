//! A secret's content: parsed, and the key proved to belong to the certificate.
use std::{path::PathBuf, sync::Arc};

use super::client::names;
use cloudwright_config::{ConfigError, Secret, secret::Pem};
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

/// What a secret holds, ready for use.
pub struct Material {
    pub certified: Option<Arc<CertifiedKey>>,
    pub roots: Option<Arc<RootCertStore>>,
    /// Names that the certificate covers, in lower case; `*.` at the beginning is any label.
    pub names: Vec<String>,
    /// What was read, to see whether anything changed.
    digest: Vec<Vec<u8>>,
}

/// The cryptography of the whole process.
#[must_use]
pub fn crypto() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    let make = || Arc::new(rustls::crypto::ring::default_provider());
    Arc::clone(PROVIDER.get_or_init(make))
}

fn read(pem: &Pem, bad: &impl Fn(String) -> ConfigError) -> Result<Vec<u8>, ConfigError> {
    match pem {
        Pem::Inline(text) => Ok(text.as_bytes().to_vec()),
        Pem::File(path) => {
            std::fs::read(path).map_err(|why| bad(format!("{}: {why}", path.display())))
        }
    }
}

fn certificates(
    text: &[u8],
    what: &str,
    bad: &impl Fn(String) -> ConfigError,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let all = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| bad(format!("{what}: {why}")))?;
    if all.is_empty() {
        return Err(bad(format!("{what}: has no certificate")));
    }
    Ok(all)
}

/// Files that a secret is read from.
pub fn files(secret: &Secret) -> impl Iterator<Item = &PathBuf> {
    [&secret.certificate, &secret.key, &secret.trust]
        .into_iter()
        .flatten()
        .filter_map(|pem| match pem {
            Pem::File(path) => Some(path),
            Pem::Inline(_) => None,
        })
}

impl Material {
    /// Reads `secret`.
    ///
    /// # Errors
    /// A file that cannot be read, text that is no PEM, a key of another certificate.
    pub fn read(secret: &Secret) -> Result<Self, ConfigError> {
        let bad = |reason| ConfigError::new(format!("secret {:?}", secret.name), reason);
        let mut material = Self {
            certified: None,
            roots: None,
            names: Vec::new(),
            digest: Vec::new(),
        };
        if let (Some(certificate), Some(key)) = (&secret.certificate, &secret.key) {
            let chain = read(certificate, &bad)?;
            let key = read(key, &bad)?;
            material.certify(&chain, &key, &bad)?;
            material.digest.push(chain);
        }
        if let Some(trust) = &secret.trust {
            let text = read(trust, &bad)?;
            let mut roots = RootCertStore::empty();
            for root in certificates(&text, "trust", &bad)? {
                roots
                    .add(root)
                    .map_err(|why| bad(format!("trust: {why}")))?;
            }
            material.roots = Some(Arc::new(roots));
            material.digest.push(text);
        }
        Ok(material)
    }

    fn certify(
        &mut self,
        chain: &[u8],
        key: &[u8],
        bad: &impl Fn(String) -> ConfigError,
    ) -> Result<(), ConfigError> {
        let chain = certificates(chain, "certificate", bad)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| bad(format!("key: {why}")))?;
        let key = crypto()
            .key_provider
            .load_private_key(key)
            .map_err(|why| bad(format!("key: {why}")))?;
        let found = chain.first().map(|leaf| names(leaf)).unwrap_or_default();
        self.names = found.iter().map(|name| name.to_ascii_lowercase()).collect();
        let certified = CertifiedKey::new(chain, key);
        certified
            .keys_match()
            .map_err(|_| bad("certificate and key do not belong together".into()))?;
        self.certified = Some(Arc::new(certified));
        Ok(())
    }

    /// Whether both were read from the same bytes.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether the certificate covers a server name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|known| match known.strip_prefix("*.") {
                Some(suffix) => name
                    .split_once('.')
                    .is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
                None => known == name,
            })
    }
}
