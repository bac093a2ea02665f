//! TLS with optional client certificates: shown ones are judged after the handshake, so that a
//! bad one is an HTTP 401 and not a broken connection.
use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error as RustlsError, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why certificates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the {what} cannot be read: {reason}")]
    Read { what: &'static str, reason: String },
    #[error("TLS: {0}")]
    Rustls(#[from] RustlsError),
}

/// The other side of a connection that showed a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The subject's common name; empty when there is none.
    pub name: String,
    /// The subject's organizations.
    pub groups: Vec<String>,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Why the certificate proves nothing; empty: it was verified.
    pub problem: String,
}

/// One generation of the server's certificate and the authority of its clients.
pub(crate) struct Material {
    pub config: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
}

fn unreadable(what: &'static str, reason: impl ToString) -> TlsError {
    TlsError::Read {
        what,
        reason: reason.to_string(),
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(what, error))?;
    if all.is_empty() {
        return Err(unreadable(what, "it has no certificate"));
    }
    Ok(all)
}

impl Material {
    /// From PEM texts.
    pub fn new(chain: &[u8], key: &[u8], authority: &[u8]) -> Result<Self, TlsError> {
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates("certificate", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| unreadable("key", e))?;
        let mut roots = RootCertStore::empty();
        for root in certificates("client authority", authority)? {
            roots.add(root)?;
        }
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto))
                .allow_unauthenticated()
                .build()
                .map_err(|error| unreadable("client authority", error))?;
        let verifier = Arc::new(JudgedLater {
            crypto: Arc::clone(&crypto),
            hints: clients.root_hint_subjects().to_vec(),
        });
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            clients,
        })
    }

    /// Who showed `chain` (leaf first); `None` without a certificate.
    pub fn peer(&self, chain: &[CertificateDer<'_>]) -> Option<Peer> {
        let (leaf, others) = chain.split_first()?;
        let mut peer = describe(leaf);
        if peer.problem.is_empty() {
            let verified = self
                .clients
                .verify_client_cert(leaf, others, UnixTime::now());
            if let Err(error) = verified {
                peer.problem = error.to_string();
            }
        }
        Some(peer)
    }
}

fn describe(leaf: &CertificateDer<'_>) -> Peer {
    let mut peer = Peer {
        fingerprint: [0; 32],
        name: String::new(),
        groups: Vec::new(),
        not_after: 0,
        problem: String::new(),
    };
    let digest = ring::digest::digest(&ring::digest::SHA256, leaf);
    peer.fingerprint.copy_from_slice(digest.as_ref());
    match X509Certificate::from_der(leaf) {
        Ok((_, parsed)) => {
            let subject = parsed.subject();
            // The last one counts where there are several, as in Go.
            let name = subject.iter_common_name().last();
            peer.name = name
                .and_then(|n| n.as_str().ok())
                .unwrap_or_default()
                .into();
            let groups = subject.iter_organization().filter_map(|n| n.as_str().ok());
            peer.groups = groups.map(str::to_owned).collect();
            peer.not_after = parsed.validity().not_after.timestamp();
        }
        Err(error) => peer.problem = error.to_string(),
    }
    peer
}

/// Takes every certificate whose key the client has.
#[derive(Debug)]
struct JudgedLater {
    crypto: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for JudgedLater {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let known = &self.crypto.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let known = &self.crypto.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto
            .signature_verification_algorithms
            .supported_schemes()
    }
}
