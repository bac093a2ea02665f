//! TLS towards clients: the certificate by server name, clients' certificates when asked for.
use std::sync::Arc;

use cloudwright_config::{ConfigError, listener::ListenerTls};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::{
    material::{Material, crypto},
    members::Members,
};

/// Which HTTP versions are offered by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    pub http1: bool,
    pub http2: bool,
}

/// One generation of a listener's TLS.
pub struct ServerTls {
    pub config: Arc<ServerConfig>,
}

struct ByName(Vec<Arc<Material>>);

impl std::fmt::Debug for ByName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByName({} certificates)", self.0.len())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let covering = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.0.iter().find(|material| material.covers(&name))
        });
        covering.or_else(|| self.0.first())?.certified.clone()
    }
}

impl ServerTls {
    /// Builds the configuration of a listener from its secrets.
    ///
    /// # Errors
    /// Roots that cannot be used.
    pub fn new(
        config: &ListenerTls,
        certificates: Vec<Arc<Material>>,
        trust: Option<&Material>,
        offers: Offers,
    ) -> Result<Self, ConfigError> {
        let bad = |why: String| ConfigError::new("tls", why);
        let both: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
        let versions = if config.tls12 { both } else { &both[..1] };
        let builder = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(versions)
            .map_err(|why| bad(why.to_string()))?;
        let builder = match trust.and_then(|material| material.roots.clone()) {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, crypto());
                let verifier = if config.require_client_certificate {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier.build().map_err(|why| bad(why.to_string()))?;
                builder.with_client_cert_verifier(if config.client_identities.is_empty() {
                    verifier
                } else {
                    Arc::new(Members {
                        inner: verifier,
                        identities: config.client_identities.clone(),
                    })
                })
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName(certificates)));
        if offers.http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        if offers.http1 {
            config.alpn_protocols.push(b"http/1.1".to_vec());
        }
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
        })
    }
}
