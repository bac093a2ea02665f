//! A group of endpoints that serve the same, and how its requests are kept off what is broken.
use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Endpoint, duration};

/// How endpoints are found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Discovery {
    /// Those written down.
    #[default]
    Static,
    /// Names are resolved, again after the records' time to live and no later than `refresh`.
    Dns {
        #[serde(with = "duration", default = "thirty_seconds")]
        refresh: Duration,
    },
    /// From the control plane, under `service` (the cluster's name when empty).
    Eds {
        #[serde(default)]
        service: Arc<str>,
    },
    /// Where the captured connection wanted to go.
    OriginalDestination,
}

/// How an endpoint is chosen for each request or stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadBalancer {
    #[default]
    RoundRobin,
    /// The less loaded of `choices` random ones.
    LeastRequest {
        #[serde(default = "two")]
        choices: u32,
    },
    Random,
    /// Consistent hashing over a ring of at least `size` points (ketama).
    RingHash {
        #[serde(default = "ring_size")]
        size: u32,
    },
    /// Consistent hashing over Maglev's table; `size` is a prime.
    Maglev {
        #[serde(default = "maglev_size")]
        size: u32,
    },
}

/// What is spoken to the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/2 for gRPC, else HTTP/1.1; with TLS what ALPN says.
    #[default]
    Auto,
    Http1,
    Http2,
    Tcp,
}

/// TLS towards endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// Secret with our certificate, for mutual TLS.
    pub certificate: Option<Arc<str>>,
    /// Secret with the roots; the system's own when missing.
    pub trust: Option<Arc<str>>,
    /// Name to ask for and to verify; the endpoint's name when missing.
    pub server_name: Option<Arc<str>>,
    /// SPIFFE IDs or DNS names of which the certificate must carry one (`*` at the end is any rest).
    pub identities: Vec<Arc<str>>,
}

/// Ceilings that keep a slow cluster from taking the proxy with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitBreaker {
    pub max_connections: u32,
    /// Requests that wait for a connection.
    pub max_pending: u32,
    pub max_requests: u32,
    /// Retries at once; `retry_budget` instead when it is there.
    pub max_retries: u32,
    /// Retries at once as a share of the active requests, percent.
    pub retry_budget_percent: Option<f64>,
    /// Retries that the budget always allows.
    pub retry_budget_minimum: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_pending: 10_000,
            max_requests: 100_000,
            max_retries: 1_000,
            retry_budget_percent: Some(20.0),
            retry_budget_minimum: 10,
        }
    }
}

/// Endpoints that answer badly are left alone for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outlier {
    /// Answers 5xx (gRPC: UNKNOWN, UNAVAILABLE, INTERNAL, DATA_LOSS) in a row; 0 is off.
    pub consecutive_errors: u32,
    /// Failed connections, resets, 502, 503, 504 in a row; 0 is off.
    pub consecutive_gateway_errors: u32,
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Times the number of ejections so far.
    #[serde(with = "duration")]
    pub base_ejection: Duration,
    #[serde(with = "duration")]
    pub max_ejection: Duration,
    /// Share of a cluster that may be ejected at once.
    pub max_percent: f64,
    /// An endpoint whose share of failures is above this is ejected; 0 is off.
    pub failure_percent: f64,
    /// Requests within `interval` that `failure_percent` needs.
    pub minimum_requests: u32,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_errors: 5,
            consecutive_gateway_errors: 5,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_percent: 50.0,
            failure_percent: 0.0,
            minimum_requests: 50,
        }
    }
}

/// What is asked of an endpoint to see whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// GET; well are the statuses from `from` to `to`.
    Http {
        path: Arc<str>,
        #[serde(default)]
        host: Option<Arc<str>>,
        #[serde(default = "ok")]
        from: u16,
        #[serde(default = "ok")]
        to: u16,
    },
    /// grpc.health.v1.Health/Check.
    Grpc {
        #[serde(default)]
        service: Arc<str>,
    },
    /// A connection that is accepted.
    Tcp {},
}

/// How often endpoints are asked, and what the answers mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    pub check: Check,
    #[serde(with = "duration", default = "ten_seconds")]
    pub interval: Duration,
    #[serde(with = "duration", default = "one_second")]
    pub timeout: Duration,
    /// Failures in a row until an endpoint is unhealthy.
    #[serde(default = "three")]
    pub unhealthy_after: u32,
    /// Successes in a row until it is healthy again.
    #[serde(default = "two")]
    pub healthy_after: u32,
}

/// A new endpoint gets its full share only after a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowStart {
    #[serde(with = "duration")]
    pub window: Duration,
    /// Share at the beginning, percent.
    #[serde(default = "ten_percent")]
    pub minimum_percent: f64,
}

/// Preference for endpoints that are near.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneAware {
    /// The proxy's own zone gets all it can serve, others the rest.
    pub zone: Arc<str>,
    /// Endpoints that a cluster needs in all before zones matter.
    #[serde(default = "six")]
    pub minimum_endpoints: u32,
}

/// Endpoints and their rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub name: Arc<str>,
    #[serde(default)]
    pub discovery: Discovery,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    #[serde(default)]
    pub protocol: Protocol,
    #[serde(default)]
    pub tls: Option<UpstreamTls>,
    #[serde(with = "duration", default = "two_seconds")]
    pub connect_timeout: Duration,
    /// Connections unused for so long are closed.
    #[serde(with = "duration", default = "ninety_seconds")]
    pub idle_timeout: Duration,
    /// HTTP/2 streams at once on one connection; the endpoint's own setting counts when lower.
    #[serde(default = "streams")]
    pub max_streams: u32,
    /// Connections to one endpoint.
    #[serde(default = "connections")]
    pub max_connections_per_endpoint: u32,
    /// HTTP/2 ping after so much silence, while there are streams.
    #[serde(with = "duration::option", default)]
    pub keepalive: Option<Duration>,
    /// Requests per second that are sent at most, all endpoints together.
    #[serde(default)]
    pub max_rate: Option<f64>,
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    #[serde(default)]
    pub outlier: Option<Outlier>,
    #[serde(default)]
    pub health_checks: Vec<HealthCheck>,
    #[serde(default)]
    pub slow_start: Option<SlowStart>,
    #[serde(default)]
    pub zone_aware: Option<ZoneAware>,
    /// Share of healthy endpoints below which health is not looked at, percent.
    #[serde(default = "fifty_percent")]
    pub panic_percent: f64,
}

impl Cluster {
    /// A cluster with nothing but its name.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            discovery: Discovery::Static,
            endpoints: Vec::new(),
            load_balancer: LoadBalancer::RoundRobin,
            protocol: Protocol::Auto,
            tls: None,
            connect_timeout: two_seconds(),
            idle_timeout: ninety_seconds(),
            max_streams: streams(),
            max_connections_per_endpoint: connections(),
            keepalive: None,
            max_rate: None,
            circuit_breaker: CircuitBreaker::default(),
            outlier: None,
            health_checks: Vec::new(),
            slow_start: None,
            zone_aware: None,
            panic_percent: fifty_percent(),
        }
    }
}

fn two() -> u32 {
    2
}
fn three() -> u32 {
    3
}
fn six() -> u32 {
    6
}
fn ring_size() -> u32 {
    1024
}
fn maglev_size() -> u32 {
    65_537
}
fn streams() -> u32 {
    5_000
}
fn connections() -> u32 {
    1_024
}
fn ok() -> u16 {
    200
}
fn ten_percent() -> f64 {
    10.0
}
fn fifty_percent() -> f64 {
    50.0
}
fn one_second() -> Duration {
    Duration::from_secs(1)
}
fn two_seconds() -> Duration {
    Duration::from_secs(2)
}
fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}
fn ninety_seconds() -> Duration {
    Duration::from_secs(90)
}
