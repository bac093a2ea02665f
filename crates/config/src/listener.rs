//! Where connections come in, TLS and limits of their clients.
use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Address, duration, grpc::Grpc};

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2, as the client begins or ALPN says.
    #[default]
    Http,
    Http1,
    Http2,
    /// Bytes, to `cluster`.
    Tcp,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Secrets with certificate and key; the one whose names cover the server name, else the first.
    pub certificates: Vec<Arc<str>>,
    /// Secret with the roots of clients' certificates; without it clients are not asked for one.
    #[serde(default)]
    pub client_trust: Option<Arc<str>>,
    /// Clients without a certificate are refused (when `client_trust` is there).
    #[serde(default = "yes")]
    pub require_client_certificate: bool,
    /// SPIFFE IDs or DNS names of which clients' certificates must carry one (`*` at the end is any
    /// rest); empty: any that `client_trust` leads to.
    #[serde(default)]
    pub client_identities: Vec<Arc<str>>,
    /// TLS 1.2 is accepted too.
    #[serde(default = "yes")]
    pub tls12: bool,
}

/// Limits of HTTP clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Time for the head of a request (slowloris).
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Longest pause in a request's body.
    #[serde(with = "duration")]
    pub body_idle_timeout: Duration,
    /// Connections without a request for so long are closed.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    pub max_header_bytes: u32,
    /// Bytes of a request's body, gRPC streams excepted; 0 is no limit.
    pub max_body_bytes: u64,
    /// HTTP/2 streams at once on one connection.
    pub max_streams: u32,
    /// HTTP/2 ping after so much silence.
    #[serde(with = "duration")]
    pub keepalive: Duration,
    /// Time for its answer.
    #[serde(with = "duration")]
    pub keepalive_timeout: Duration,
    /// Body bytes kept for another attempt.
    pub replay_bytes: u32,
    /// Requests per second that the listener takes.
    pub max_rate: f64,
    /// Paths with `%2F` or `%5C` are answered 400: applications may take them for slashes.
    pub refuse_escaped_slashes: bool,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(3_600),
            max_header_bytes: 64 * 1024,
            max_body_bytes: 256 * 1024 * 1024,
            max_streams: 10_000,
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(5),
            replay_bytes: 64 * 1024,
            max_rate: 1_000_000.0,
            refuse_escaped_slashes: false,
        }
    }
}

/// An address that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub name: Arc<str>,
    pub address: Address,
    #[serde(default)]
    pub protocol: Protocol,
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Route table of an HTTP listener.
    #[serde(default)]
    pub routes: Option<Arc<str>>,
    /// Cluster of a TCP listener.
    #[serde(default)]
    pub cluster: Option<Arc<str>>,
    #[serde(default)]
    pub limits: HttpLimits,
    #[serde(default = "most_connections")]
    pub max_connections: u32,
    /// Connections were redirected here by the kernel; where they wanted to go is asked for.
    #[serde(default)]
    pub captured: bool,
    /// Proxies in front of this one whose `x-forwarded-for` is believed, counted from here.
    #[serde(default)]
    pub trusted_hops: u32,
    #[serde(default)]
    pub grpc: Grpc,
    /// The listener speaks the PROXY protocol (version 1 and 2) first.
    #[serde(default)]
    pub proxy_protocol: bool,
}

fn yes() -> bool {
    true
}

fn most_connections() -> u32 {
    20_000
}
