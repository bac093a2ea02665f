//! TLS towards the control plane: files → configuration, verified by name or by SPIFFE ID.
use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use crate::options::ControlTls;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsLoadError {
    #[error("{file}: {reason}")]
    File { file: String, reason: String },
    #[error("control.tls: certificate and key belong together")]
    Half,
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("TLS: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

fn bad(path: &Path, reason: impl ToString) -> TlsLoadError {
    TlsLoadError::File {
        file: path.display().to_string(),
        reason: reason.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsLoadError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| bad(path, why))?;
    if all.is_empty() {
        return Err(bad(path, "has no certificate"));
    }
    Ok(all)
}

/// Reads the files.
///
/// # Errors
/// The file that cannot be used, and why.
pub fn config(options: &ControlTls) -> Result<Arc<ClientConfig>, TlsLoadError> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates(&options.ca)? {
        roots.add(authority).map_err(|why| bad(&options.ca, why))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)?;
    let verifier: Arc<dyn ServerCertVerifier> = match &options.identity {
        Some(identity) => Arc::new(IdentityVerifier {
            roots,
            identity: Arc::clone(identity),
            crypto,
        }),
        None => WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto).build()?,
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&options.certificate, &options.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(chain), Some(key)) => {
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| bad(key, why))?;
            builder.with_client_auth_cert(certificates(chain)?, secret)?
        }
        _ => return Err(TlsLoadError::Half),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.enable_sni = options.identity.is_none();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Verifies the chain, and that the leaf carries one SPIFFE ID.
#[derive(Debug)]
struct IdentityVerifier {
    roots: RootCertStore,
    identity: Arc<str>,
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for IdentityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let algorithms = self.crypto.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        let leaf = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|why| TlsError::General(why.to_string()))?;
        let mut names = leaf.valid_uri_names();
        if names.any(|name| *name == *self.identity) {
            return Ok(ServerCertVerified::assertion());
        }
        let reason = format!("the server's certificate is not of {}", self.identity);
        Err(TlsError::General(reason))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto
            .signature_verification_algorithms
            .supported_schemes()
    }
}
