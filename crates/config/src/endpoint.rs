//! One address behind a cluster.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Address;

/// What discovery says of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Takes requests, as far as discovery knows.
    #[default]
    Healthy,
    /// Ends what it has and gets nothing new.
    Draining,
    /// Gets nothing.
    Unhealthy,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Locality {
    pub region: Arc<str>,
    pub zone: Arc<str>,
    pub sub_zone: Arc<str>,
}

fn one() -> u32 {
    1
}

fn is_one(weight: &u32) -> bool {
    *weight == 1
}

/// An address that serves a cluster's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub address: Address,
    /// Share among the endpoints of its priority, at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// 0 is used first; the next one only when too few of the lower are healthy.
    #[serde(default)]
    pub priority: u32,
    #[serde(default)]
    pub locality: Option<Arc<Locality>>,
    /// The SPIFFE ID that its certificate must carry.
    #[serde(default)]
    pub identity: Option<Arc<str>>,
    #[serde(default)]
    pub health: Health,
}

impl Endpoint {
    /// An endpoint with nothing but its address.
    #[must_use]
    pub fn at(address: Address) -> Self {
        Self {
            address,
            weight: 1,
            priority: 0,
            locality: None,
            identity: None,
            health: Health::Healthy,
        }
    }
}
