//! The bootstrap file: who this proxy is, where it listens and where its files are.
//!
//! Read once at start. Everything that changes while it runs (routes, certificates) lives in files
//! this one only names. Unknown fields are refused, so that a typing mistake is not a silent default.
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::identity::SpiffeId;

/// The two roles of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Gateway,
    Sidecar,
}

impl Role {
    /// The word used on the command line, in logs and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Sidecar => "sidecar",
        }
    }
}

/// Limits against hostile or broken clients; all have safe defaults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections a listener serves at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Header bytes of one request.
    pub max_header_bytes: usize,
    /// Body bytes of one request at the gateway; gRPC streams are not counted. 0 = no limit.
    pub max_body_bytes: u64,
    /// Time a gateway client has to send its request head.
    pub header_timeout_ms: u64,
    /// Longest pause between two parts of a request body at the gateway.
    pub body_idle_timeout_ms: u64,
    /// Body bytes kept for a retry; a longer body is sent once only.
    pub replay_bytes: usize,
    /// HTTP/2 streams on one connection to a peer before another one is opened.
    pub streams_per_connection: usize,
    /// HTTP/2 connections to one endpoint.
    pub connections_per_endpoint: usize,
    /// Time for TCP connect and TLS handshake together.
    pub connect_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_header_bytes: 64 * 1024,
            max_body_bytes: 256 * 1024 * 1024,
            header_timeout_ms: 30_000,
            body_idle_timeout_ms: 60_000,
            replay_bytes: 64 * 1024,
            streams_per_connection: 100,
            connections_per_endpoint: 4,
            connect_timeout_ms: 2_000,
        }
    }
}

/// The parsed and checked file. Addresses are IPv4, times milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    pub role: Role,
    pub id: String,
    pub namespace: String,
    #[serde(default)]
    pub pod: String,
    /// The pod's own address; picks its endpoints out of the snapshot.
    #[serde(default)]
    pub ip: Option<Ipv4Addr>,
    pub identity: String,
    pub trust_domain: String,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
    pub snapshot: PathBuf,
    pub admin: PathBuf,
    #[serde(default = "port_inbound")]
    pub inbound_port: u16,
    #[serde(default = "port_outbound")]
    pub outbound_port: u16,
    #[serde(default = "port_dns")]
    pub dns_port: u16,
    /// Address the sidecar's listeners bind to.
    #[serde(default = "any_address")]
    pub listen: IpAddr,
    /// Application port of inbound connections that no redirect brought here (stand-alone use).
    #[serde(default)]
    pub app_port: Option<u16>,
    /// Destinations the mesh does not know are passed through, and foreign names resolved.
    #[serde(default)]
    pub egress: bool,
    /// `-` is standard output, empty or `off` is none, anything else a file that is appended to.
    #[serde(default)]
    pub access_log: String,
    #[serde(default)]
    pub http: Vec<SocketAddr>,
    #[serde(default)]
    pub https: Vec<SocketAddr>,
    #[serde(default)]
    pub https_cert: Option<PathBuf>,
    #[serde(default)]
    pub https_key: Option<PathBuf>,
    #[serde(default)]
    pub mesh_socket: Option<PathBuf>,
    /// Longest time a drain waits for requests in flight.
    #[serde(default = "drain_timeout")]
    pub drain_timeout_ms: u64,
    #[serde(default)]
    pub limits: Limits,
}

fn port_inbound() -> u16 {
    15006
}

fn port_outbound() -> u16 {
    15001
}

fn port_dns() -> u16 {
    15053
}

fn any_address() -> IpAddr {
    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
}

fn drain_timeout() -> u64 {
    30_000
}

/// Why a bootstrap file was refused; one line with the file and the field.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("{}: cannot read: {source}", file.display())]
    Read {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: field {field}: {message}", file.display())]
    Field {
        file: PathBuf,
        field: String,
        message: String,
    },
}

impl Bootstrap {
    /// Reads and checks `file` for `role`.
    pub fn load(file: &Path, role: &str) -> Result<Self, BootstrapError> {
        let text = std::fs::read(file).map_err(|source| BootstrapError::Read {
            file: file.into(),
            source,
        })?;
        Self::parse(&text, role).map_err(|(field, message)| BootstrapError::Field {
            file: file.into(),
            field,
            message,
        })
    }

    fn parse(text: &[u8], role: &str) -> Result<Self, (String, String)> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let parsed: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| (error.path().to_string(), error.inner().to_string()))?;
        parsed
            .check(role)
            .map_err(|(field, message)| (field.to_owned(), message))?;
        Ok(parsed)
    }

    fn check(&self, role: &str) -> Result<(), (&'static str, String)> {
        if self.role.name() != role {
            return Err((
                "role",
                format!("is {:?}, but started as {role:?}", self.role.name()),
            ));
        }
        let id = SpiffeId::parse(&self.identity).map_err(|why| ("identity", why.to_string()))?;
        if id.trust_domain() != self.trust_domain {
            return Err((
                "identity",
                format!(
                    "{} is not in the trust domain {:?}",
                    self.identity, self.trust_domain
                ),
            ));
        }
        for (name, path) in [
            ("cert", &self.cert),
            ("key", &self.key),
            ("ca", &self.ca),
            ("snapshot", &self.snapshot),
            ("admin", &self.admin),
        ] {
            if !path.is_absolute() {
                return Err((name, format!("{} is not an absolute path", path.display())));
            }
        }
        match self.role {
            Role::Gateway => self.check_gateway(),
            Role::Sidecar => self.check_sidecar(),
        }
    }

    fn check_gateway(&self) -> Result<(), (&'static str, String)> {
        if self.http.is_empty() && self.https.is_empty() && self.mesh_socket.is_none() {
            return Err((
                "http",
                "no listener: give http, https or mesh_socket".into(),
            ));
        }
        if !self.https.is_empty() {
            if self.https_cert.is_none() {
                return Err(("https_cert", "is needed with https".into()));
            }
            if self.https_key.is_none() {
                return Err(("https_key", "is needed with https".into()));
            }
        }
        Ok(())
    }

    fn check_sidecar(&self) -> Result<(), (&'static str, String)> {
        if self.ip.is_none() {
            return Err(("ip", "is needed by a sidecar (the pod's address)".into()));
        }
        if self.pod.is_empty() {
            return Err(("pod", "is needed by a sidecar (the pod's name)".into()));
        }
        Ok(())
    }

    /// What `x-mesh-sidecar` says: the pod's name, or the proxy's id when there is no pod.
    #[must_use]
    pub fn sidecar_name(&self) -> &str {
        if self.pod.is_empty() {
            &self.id
        } else {
            &self.pod
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar() -> serde_json::Value {
        serde_json::json!({
            "role": "sidecar", "id": "u1", "namespace": "default", "pod": "p-1", "ip": "10.244.0.5",
            "identity": "spiffe://cluster.local/ns/default/sa/default",
            "trust_domain": "cluster.local",
            "cert": "/p/cert.pem", "key": "/p/key.pem", "ca": "/p/ca.pem",
            "snapshot": "/p/snapshot.json", "admin": "/p/admin.sock",
            "inbound_port": 15006, "outbound_port": 15001, "dns_port": 15053,
            "egress": false, "access_log": "-"})
    }

    fn refused(change: impl FnOnce(&mut serde_json::Value)) -> (String, String) {
        let mut value = sidecar();
        change(&mut value);
        Bootstrap::parse(value.to_string().as_bytes(), "sidecar").unwrap_err()
    }

    #[test]
    fn the_documented_file_is_accepted() {
        let parsed = Bootstrap::parse(sidecar().to_string().as_bytes(), "sidecar").unwrap();
        assert_eq!(parsed.sidecar_name(), "p-1");
        assert_eq!(parsed.inbound_port, 15006);
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(
            refused(|v| v["inbound_port"] = 70_000.into()).0,
            "inbound_port"
        );
        assert_eq!(
            refused(|v| v["limits"] = serde_json::json!({"max_body": 1})).0,
            "limits.max_body"
        );
        assert_eq!(
            refused(|v| v["identity"] = "spiffe://other/ns/a/sa/b".into()).0,
            "identity"
        );
        assert_eq!(refused(|v| v["cert"] = "cert.pem".into()).0, "cert");
        assert_eq!(refused(|v| v["role"] = "gateway".into()).0, "role");
        assert_eq!(refused(|v| v["ip"] = serde_json::Value::Null).0, "ip");
    }

    #[test]
    fn a_gateway_needs_a_listener_and_a_certificate() {
        let mut value = sidecar();
        value["role"] = "gateway".into();
        let text = value.to_string();
        assert_eq!(
            Bootstrap::parse(text.as_bytes(), "gateway").unwrap_err().0,
            "http"
        );
        value["https"] = serde_json::json!(["127.0.0.1:8443"]);
        let text = value.to_string();
        assert_eq!(
            Bootstrap::parse(text.as_bytes(), "gateway").unwrap_err().0,
            "https_cert"
        );
    }
}
