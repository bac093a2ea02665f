//! The `control` block of the proxy's bootstrap: which server, who asks, how.
use std::{path::PathBuf, sync::Arc, time::Duration};

use cloudwright_config::{Address, duration, endpoint::Locality};
use serde::{Deserialize, Serialize};

use crate::{engine::Settings, wire::Writer};

/// Where configuration comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// `HOST:PORT` or `unix:/PATH`.
    pub server: Address,
    /// TLS towards the server; without it the stream is in the clear.
    #[serde(default)]
    pub tls: Option<ControlTls>,
    #[serde(default)]
    pub node: Node,
    /// Delta discovery instead of state of the world.
    #[serde(default)]
    pub delta: bool,
    /// Names of listeners to ask for; all when empty.
    #[serde(default)]
    pub listeners: Vec<Arc<str>>,
    /// Names of clusters to ask for; all when empty.
    #[serde(default)]
    pub clusters: Vec<Arc<str>>,
    /// `:authority` of the stream; the server's address when missing.
    #[serde(default)]
    pub authority: Option<Arc<str>>,
    /// File with a bearer token, read anew for each stream.
    #[serde(default)]
    pub token: Option<PathBuf>,
    /// After this time a cluster is used without endpoints, a listener without its clusters.
    #[serde(with = "duration", default = "fifteen_seconds")]
    pub warming_timeout: Duration,
    /// For connection, TLS and HTTP/2 together.
    #[serde(with = "duration", default = "five_seconds")]
    pub connect_timeout: Duration,
    /// A silent stream is tried with a ping after this time. gRPC's servers break off with clients
    /// that do so more often than every 5 minutes, unless they are told otherwise.
    #[serde(with = "duration", default = "five_minutes")]
    pub keepalive: Duration,
    /// Time for the ping's answer.
    #[serde(with = "duration", default = "ten_seconds")]
    pub keepalive_timeout: Duration,
    /// First pause after a stream that failed; doubled each time, with jitter.
    #[serde(with = "duration", default = "first_pause")]
    pub backoff: Duration,
    /// Longest pause.
    #[serde(with = "duration", default = "thirty_seconds")]
    pub max_backoff: Duration,
    /// Largest answer in bytes.
    #[serde(default = "message_bytes")]
    pub max_message_bytes: u32,
}

/// TLS towards the server; the files are read anew for each stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlTls {
    /// PEM with the roots that the server's certificate must lead to.
    pub ca: PathBuf,
    /// PEM with our chain, for mutual TLS; needs `key`.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Name to ask for and to verify; the server's when missing.
    #[serde(default)]
    pub server_name: Option<Arc<str>>,
    /// SPIFFE ID that the server's certificate must carry, instead of a name.
    #[serde(default)]
    pub identity: Option<Arc<str>>,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    pub id: Arc<str>,
    pub cluster: Arc<str>,
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub locality: Locality,
}

impl Control {
    /// Options with nothing but a server.
    #[must_use]
    pub fn of(server: Address) -> Self {
        Self {
            server,
            tls: None,
            node: Node::default(),
            delta: false,
            listeners: Vec::new(),
            clusters: Vec::new(),
            authority: None,
            token: None,
            warming_timeout: fifteen_seconds(),
            connect_timeout: five_seconds(),
            keepalive: five_minutes(),
            keepalive_timeout: ten_seconds(),
            backoff: first_pause(),
            max_backoff: thirty_seconds(),
            max_message_bytes: message_bytes(),
        }
    }

    /// What of it the protocol needs.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let zone = &self.node.locality.zone;
        Settings {
            delta: self.delta,
            listeners: self.listeners.clone(),
            clusters: self.clusters.clone(),
            warming_timeout: self.warming_timeout,
            zone: (!zone.is_empty()).then(|| Arc::clone(zone)),
        }
    }
}

impl Node {
    /// The bytes of `core.Node`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(1, &self.id).text(2, &self.cluster);
        if !self.metadata.is_empty() {
            out.message(3, |fields| structure(fields, &self.metadata));
        }
        if self.locality != Locality::default() {
            out.message(4, |place| {
                place.text(1, &self.locality.region);
                place.text(2, &self.locality.zone);
                place.text(3, &self.locality.sub_zone);
            });
        }
        out.text(6, "cloudwright");
        out.text(7, env!("CARGO_PKG_VERSION"));
        out.text(10, "xds.config.resource-in-sotw");
        out.finish()
    }
}

/// `google.protobuf.Struct`.
fn structure(out: &mut Writer, fields: &serde_json::Map<String, serde_json::Value>) {
    for (name, field) in fields {
        out.message(1, |entry| {
            entry.text(1, name).message(2, |out| value(out, field));
        });
    }
}

/// `google.protobuf.Value`, in which defaults are written too: they are a choice.
fn value(out: &mut Writer, json: &serde_json::Value) {
    use serde_json::Value;
    match json {
        Value::Null => out.choice(1, 0),
        Value::Number(number) => out.double(2, number.as_f64().unwrap_or_default()),
        Value::String(text) => out.bytes(3, text.as_bytes()),
        Value::Bool(truth) => out.choice(4, u64::from(*truth)),
        Value::Object(fields) => out.message(5, |out| structure(out, fields)),
        Value::Array(list) => out.message(6, |out| {
            for one in list {
                out.message(1, |out| value(out, one));
            }
        }),
    };
}

fn five_minutes() -> Duration {
    Duration::from_secs(310)
}
fn first_pause() -> Duration {
    Duration::from_millis(200)
}
fn five_seconds() -> Duration {
    Duration::from_secs(5)
}
fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
fn fifteen_seconds() -> Duration {
    Duration::from_secs(15)
}
fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}
fn message_bytes() -> u32 {
    128 * 1024 * 1024
}
