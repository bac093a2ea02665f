//! TLS towards endpoints: who we are, whom we trust, and which names a certificate must carry.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cloudwright_config::{ConfigError, cluster::UpstreamTls};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};

use super::material::{Material, crypto};

/// One generation of a cluster's TLS.
pub struct ClientTls {
    /// Differs from that of every other: connections of another one get no new requests.
    pub generation: u64,
    pub http1: Arc<ClientConfig>,
    pub http2: Arc<ClientConfig>,
    pub any: Arc<ClientConfig>,
    pub server_name: Option<ServerName<'static>>,
}

/// Verifies the chain, and either the server's name or that a SAN is one of ours.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    identities: Vec<Arc<str>>,
    crypto: Arc<CryptoProvider>,
}

/// Whether `name` is `pattern`, or begins with it when it ends in `*`.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// URI and DNS names of a certificate.
#[must_use]
pub fn names(certificate: &[u8]) -> Vec<String> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(found)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::URI(text) | GeneralName::DNSName(text) => Some((*text).to_owned()),
        _ => None,
    };
    found.value.general_names.iter().filter_map(text).collect()
}

/// Whether a certificate carries exactly this SPIFFE ID.
#[must_use]
pub fn is(certificate: &[u8], identity: &str) -> bool {
    names(certificate).iter().any(|name| name == identity)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.crypto.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        if self.identities.is_empty() {
            verify_server_name(&parsed, server_name)?;
        } else {
            let found = names(end_entity);
            let wanted = |name: &String| self.identities.iter().any(|one| matches(one, name));
            if !found.iter().any(wanted) {
                let text = format!("the endpoint is {}, which is not wanted", found.join(", "));
                return Err(TlsError::General(text));
            }
        }
        Ok(ServerCertVerified::assertion())
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

fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // One that this library cannot read is no reason to trust none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

impl ClientTls {
    /// Builds the configuration of a cluster from its secrets.
    ///
    /// # Errors
    /// A server name that is none, or a certificate that cannot be used.
    pub fn new(
        config: &UpstreamTls,
        certificate: Option<&Material>,
        trust: Option<&Material>,
    ) -> Result<Self, ConfigError> {
        let bad = |why: String| ConfigError::new("tls", why);
        let roots = match trust.and_then(|material| material.roots.clone()) {
            Some(roots) => roots,
            None => system_roots(),
        };
        let verifier = Arc::new(Verifier {
            roots,
            identities: config.identities.clone(),
            crypto: crypto(),
        });
        let builder = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .map_err(|why| bad(why.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut base = match certificate.and_then(|material| material.certified.clone()) {
            None => builder.with_no_client_auth(),
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        };
        base.resumption = rustls::client::Resumption::in_memory_sessions(64);
        let server_name = config
            .server_name
            .as_ref()
            .map(|name| ServerName::try_from(name.to_string()))
            .transpose()
            .map_err(|why| bad(format!("server_name: {why}")))?;
        let with = |offers: &[&[u8]]| {
            let mut config = base.clone();
            config.alpn_protocols = offers.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        static GENERATIONS: AtomicU64 = AtomicU64::new(1);
        Ok(Self {
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
            http1: with(&[b"http/1.1"]),
            http2: with(&[b"h2"]),
            any: with(&[b"h2", b"http/1.1"]),
            server_name,
        })
    }
}
