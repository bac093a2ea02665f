//! `rate_limits`: token buckets, and what they are counted by.
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// A token bucket, or one for each value of a key.
///
/// ```yaml
/// - {name: whole, rate: 1000000, key: gateway}
/// - {name: each-client, rate: 50, burst: 100, key: {client: address}}
/// - {name: each-tenant, rate: 600, per: minute, key: {tenant: credential}}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct RateLimit {
    /// Named in refusals, logs and metrics; unique within its list.
    pub name: String,
    /// Requests in each `per`; 1,000,000 a second by default.
    #[serde(default = "default_rate")]
    pub rate: f64,
    /// The unit of `rate`.
    #[serde(default)]
    pub per: Per,
    /// How many may come at once; by default a tenth of a second's worth, at least one.
    #[serde(default)]
    pub burst: Option<u64>,
    /// What is counted.
    #[serde(default)]
    pub key: Key,
    /// Keys that are remembered at once, at 32 bytes each; more than that many *busy* keys
    /// forget the least busy one.
    #[serde(default = "default_max_keys")]
    pub max_keys: usize,
    /// Headers that tell callers how much is left.
    #[serde(default)]
    pub response_headers: ResponseHeaders,
}

/// The unit of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One second.
    #[default]
    Second,
    /// 60 seconds.
    Minute,
    /// 3,600 seconds.
    Hour,
}

/// What a limit is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// One bucket for all that passes where the limit is configured (gateway, cluster, …).
    #[default]
    Gateway,
    /// One for each route.
    Route,
    /// One for each tenant; requests without one share a bucket.
    Tenant(TenantKey),
    /// One for each client.
    Client(ClientKey),
    /// One for each value of a header; requests without it share a bucket.
    Header(String),
    /// One for each value of a field of the (first) message of a gRPC request, `a.b.c`; requests
    /// without it share a bucket.
    Field(String),
}

/// Who says which tenant a request is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantKey {
    /// The credential: tenant of the API key, or the `tenant_claim` of the token.
    Credential,
    /// A claim of the token.
    Claim(String),
    /// A header (only behind something that sets it).
    Header(String),
}

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKey {
    /// Its address (an IPv6 client is its /64).
    Address,
    /// Its authenticated identity, or the address where there is none.
    Identity,
}

/// Which headers tell callers about their limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseHeaders {
    /// None.
    #[default]
    Off,
    /// `x-ratelimit-limit`, `-remaining` and `-reset` (seconds), as Envoy has them.
    XRatelimit,
}

fn default_rate() -> f64 {
    1_000_000.0
}

fn default_max_keys() -> usize {
    100_000
}

impl RateLimit {
    /// Requests a second.
    pub fn per_second(&self) -> f64 {
        match self.per {
            Per::Second => self.rate,
            Per::Minute => self.rate / 60.0,
            Per::Hour => self.rate / 3600.0,
        }
    }

    /// Tokens a full bucket holds.
    pub fn effective_burst(&self) -> u64 {
        self.burst
            .unwrap_or_else(|| (self.per_second() / 10.0).ceil().max(1.0) as u64)
    }

    /// Says what cannot be meant.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::at(
                "name",
                "is empty: refusals name their limit",
            ));
        }
        if !(self.per_second() >= 1e-6 && self.per_second() <= 1e8) {
            let why = format!(
                "{} is not between 0.000001 and 100,000,000 a second",
                self.rate
            );
            return Err(ConfigError::at("rate", why));
        }
        if !(1..=1_000_000_000).contains(&self.effective_burst()) {
            return Err(ConfigError::at(
                "burst",
                "is not between 1 and 1,000,000,000",
            ));
        }
        if self.effective_burst() as f64 / self.per_second() > 1e7 {
            return Err(ConfigError::at(
                "burst",
                "takes more than 115 days to fill at this rate",
            ));
        }
        if !(1..=10_000_000).contains(&self.max_keys) {
            return Err(ConfigError::at(
                "max_keys",
                "is not between 1 and 10,000,000",
            ));
        }
        let (Key::Header(name) | Key::Tenant(TenantKey::Header(name))) = &self.key else {
            return Ok(());
        };
        http::HeaderName::from_bytes(name.as_bytes())
            .map(drop)
            .map_err(|_| ConfigError::at("key", format!("{name:?} is not the name of a header")))
    }
}
