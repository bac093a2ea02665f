//! How a request is sent: attempts, deadlines, copies, faults, header rules.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{duration, matching::Pattern};

/// What may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// No connection, or the endpoint surely saw nothing; always tried again while attempts last.
    ConnectFailure,
    /// The connection broke before an answer.
    Reset,
    /// 503.
    Unavailable,
    /// 502, 503, 504.
    GatewayError,
    #[serde(rename = "5xx")]
    ServerError,
    /// 409.
    Conflict,
    /// The statuses of `statuses`.
    Statuses,
    /// gRPC UNAVAILABLE.
    GrpcUnavailable,
    /// gRPC RESOURCE_EXHAUSTED.
    GrpcResourceExhausted,
    /// gRPC CANCELLED.
    GrpcCancelled,
    /// gRPC DEADLINE_EXCEEDED.
    GrpcDeadlineExceeded,
    /// gRPC INTERNAL.
    GrpcInternal,
}

/// How often and when a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Further attempts after the first.
    #[serde(default = "one")]
    pub attempts: u32,
    #[serde(default)]
    pub on: Vec<RetryOn>,
    #[serde(default)]
    pub statuses: Vec<u16>,
    #[serde(with = "duration::option", default)]
    pub per_try_timeout: Option<Duration>,
    /// First pause; doubled each time, with jitter.
    #[serde(with = "duration", default = "backoff")]
    pub backoff: Duration,
    #[serde(with = "duration", default = "most_backoff")]
    pub max_backoff: Duration,
    /// Requests that are not idempotent (POST, PATCH) too, when the endpoint may have seen them.
    #[serde(default)]
    pub non_idempotent: bool,
}

/// A second attempt beside the first one when it takes long; the first answer counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    #[serde(with = "duration")]
    pub delay: Duration,
    /// Attempts at once, the first included.
    #[serde(default = "two")]
    pub attempts: u32,
}

/// A copy of requests whose answer nobody waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    pub cluster: Arc<str>,
    #[serde(default = "all")]
    pub percent: f64,
}

/// What a request's target becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// Put in place of the matched prefix (or of an exact path).
    pub prefix: Option<Arc<str>>,
    pub regex: Option<RegexRewrite>,
    /// Put in place of the authority.
    pub host: Option<Arc<str>>,
    /// The authority becomes the endpoint's name.
    pub auto_host: bool,
}

/// A rewrite of the whole path by an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexRewrite {
    pub pattern: Pattern,
    pub replacement: Arc<str>,
}

/// What a consistent hash is made of; the first that is there counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HashKey {
    Header(Arc<str>),
    Query(Arc<str>),
    /// The client's address.
    Source,
    /// A cookie; made by the proxy when `ttl` is there and the client has none.
    Cookie {
        name: Arc<str>,
        #[serde(with = "duration::option", default)]
        ttl: Option<Duration>,
    },
}

/// Header fields that are set, added and removed, in this order: remove, set, add.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderEdits {
    pub remove: Vec<Arc<str>>,
    pub set: BTreeMap<Arc<str>, Arc<str>>,
    pub add: BTreeMap<Arc<str>, Arc<str>>,
}

impl HeaderEdits {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Trouble on purpose, to see how clients bear it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    #[serde(with = "duration::option")]
    pub delay: Option<Duration>,
    pub delay_percent: f64,
    pub abort_status: Option<u16>,
    pub abort_percent: f64,
}

fn one() -> u32 {
    1
}
fn two() -> u32 {
    2
}
fn all() -> f64 {
    100.0
}
fn backoff() -> Duration {
    Duration::from_millis(25)
}
fn most_backoff() -> Duration {
    Duration::from_millis(250)
}
