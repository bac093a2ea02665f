//! TLS configurations: made from files, swapped as a whole, verified by SPIFFE identity.
use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{
    bootstrap::Bootstrap,
    identity::{CertificateFacts, SpiffeId},
};

pub const ALPN_H2: &[u8] = b"h2";
pub const ALPN_TCP: &[u8] = b"cw-tcp";

/// Why certificates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsLoadError {
    #[error("{file}: {reason}")]
    File { file: String, reason: String },
    #[error("{cert} and {key} do not belong together")]
    Mismatch { cert: String, key: String },
    #[error("{file}: the certificate's identity is {found}, the bootstrap says {wanted}")]
    Identity {
        file: String,
        found: String,
        wanted: String,
    },
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// One generation of mesh credentials.
pub struct MeshTls {
    pub generation: u64,
    pub facts: CertificateFacts,
    pub inbound: Arc<ServerConfig>,
    pub h2: Arc<ClientConfig>,
    pub tcp: Arc<ClientConfig>,
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn file_error(path: &Path, reason: impl ToString) -> TlsLoadError {
    TlsLoadError::File {
        file: path.display().to_string(),
        reason: reason.to_string(),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsLoadError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(path, error))?;
    if all.is_empty() {
        return Err(file_error(path, "has no certificate"));
    }
    Ok(all)
}

fn read_pair(cert: &Path, key: &Path, crypto: &CryptoProvider) -> Result<Chain, TlsLoadError> {
    let chain = read_certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| file_error(key, error))?;
    let signing = crypto.key_provider.load_private_key(secret.clone_key())?;
    match rustls::sign::CertifiedKey::new(chain.clone(), signing).keys_match() {
        Ok(()) => Ok((chain, secret)),
        Err(_) => Err(TlsLoadError::Mismatch {
            cert: cert.display().to_string(),
            key: key.display().to_string(),
        }),
    }
}

impl MeshTls {
    /// Reads the three files of the bootstrap and builds both sides' configurations.
    pub fn load(boot: &Bootstrap, generation: u64) -> Result<Self, TlsLoadError> {
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = read_pair(&boot.cert, &boot.key, &crypto)?;
        let mut roots = RootCertStore::empty();
        for authority in read_certificates(&boot.ca)? {
            roots
                .add(authority)
                .map_err(|error| file_error(&boot.ca, error))?;
        }
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let id = SpiffeId::of_certificate(leaf).map_err(|why| file_error(&boot.cert, why))?;
        if id.as_str() != boot.identity {
            return Err(TlsLoadError::Identity {
                file: boot.cert.display().to_string(),
                found: id.as_str().to_owned(),
                wanted: boot.identity.clone(),
            });
        }
        let facts = CertificateFacts::of(leaf).map_err(|why| file_error(&boot.cert, why))?;
        let verifier = Arc::new(MeshVerifier::new(roots, &boot.trust_domain, &crypto)?);
        let inbound = inbound_config(&crypto, &verifier, &chain, &key)?;
        let h2 = client_config(&crypto, &verifier, &chain, &key, ALPN_H2)?;
        let tcp = client_config(&crypto, &verifier, &chain, &key, ALPN_TCP)?;
        Ok(Self {
            generation,
            facts,
            inbound,
            h2,
            tcp,
        })
    }
}

fn inbound_config(
    crypto: &Arc<CryptoProvider>,
    verifier: &Arc<MeshVerifier>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsLoadError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(crypto))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::clone(verifier) as Arc<dyn ClientCertVerifier>)
        .with_single_cert(chain.to_vec(), key.clone_key())?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_TCP.to_vec()];
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn client_config(
    crypto: &Arc<CryptoProvider>,
    verifier: &Arc<MeshVerifier>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, TlsLoadError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(crypto))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<dyn ServerCertVerifier>)
        .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::in_memory_sessions(64);
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The configuration of the gateway's HTTPS listeners.
pub fn edge_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsLoadError> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = read_pair(cert, key, &crypto)?;
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Verifies a peer: chain to our authority, and a SPIFFE id of our trust domain instead of a name.
///
/// Which id exactly is compared after the handshake, where the endpoint is known.
#[derive(Debug)]
struct MeshVerifier {
    roots: RootCertStore,
    trust_domain: String,
    crypto: Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl MeshVerifier {
    fn new(
        roots: RootCertStore,
        trust_domain: &str,
        crypto: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsLoadError> {
        let clients = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::clone(crypto),
        )
        .build()
        .map_err(|error| TlsError::General(error.to_string()))?;
        Ok(Self {
            roots,
            trust_domain: trust_domain.to_owned(),
            crypto: Arc::clone(crypto),
            clients,
        })
    }

    fn check_domain(&self, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
        let id = SpiffeId::of_certificate(certificate)
            .map_err(|why| TlsError::General(why.to_string()))?;
        if id.trust_domain() == self.trust_domain {
            Ok(())
        } else {
            Err(TlsError::General(format!(
                "{} is of another trust domain",
                id.as_str()
            )))
        }
    }
}

impl ServerCertVerifier for MeshVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.crypto.signature_verification_algorithms.all,
        )?;
        self.check_domain(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.crypto.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.crypto.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for MeshVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self
            .clients
            .verify_client_cert(end_entity, intermediates, now)?;
        self.check_domain(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}
