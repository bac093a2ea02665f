//! What happens with a request: route tables, virtual hosts, routes and their actions.
use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    duration,
    guard::Guard,
    matching::Match,
    policy::{Fault, HashKey, HeaderEdits, Hedge, Mirror, Retry, Rewrite},
};

/// A cluster and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighted {
    pub cluster: Arc<str>,
    pub weight: u32,
}

/// The request goes to a cluster: `cluster`, or one of `clusters` by weight.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forward {
    pub cluster: Option<Arc<str>>,
    pub clusters: Vec<Weighted>,
    /// The whole exchange up to the end of the answer's head; 0 is none. gRPC's own deadline counts too.
    #[serde(with = "duration::option")]
    pub timeout: Option<Duration>,
    /// Longest silence of a stream in both directions.
    #[serde(with = "duration::option")]
    pub idle_timeout: Option<Duration>,
    pub retry: Option<Retry>,
    pub hedge: Option<Hedge>,
    pub mirrors: Vec<Mirror>,
    pub rewrite: Rewrite,
    pub hash: Vec<HashKey>,
    /// WebSocket and other upgrades are let through.
    pub upgrades: bool,
}

/// The client is sent elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308; 301 when missing.
    pub status: Option<u16>,
    pub scheme: Option<Arc<str>>,
    pub host: Option<Arc<str>>,
    pub port: Option<u16>,
    pub path: Option<Arc<str>>,
    /// Put in place of the matched prefix.
    pub prefix: Option<Arc<str>>,
    pub strip_query: bool,
}

/// The proxy answers itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    pub status: u16,
    #[serde(default)]
    pub body: Arc<str>,
    #[serde(default)]
    pub content_type: Option<Arc<str>>,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Forward(Box<Forward>),
    Redirect(Box<Redirect>),
    Respond(Box<Respond>),
}

/// One rule; the first of a virtual host that matches counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// In metrics and logs; made of the action when empty.
    #[serde(default)]
    pub name: Arc<str>,
    #[serde(default, rename = "match")]
    pub matches: Match,
    pub action: Action,
    #[serde(default)]
    pub request_headers: HeaderEdits,
    #[serde(default)]
    pub response_headers: HeaderEdits,
    #[serde(default)]
    pub fault: Option<Fault>,
    #[serde(default)]
    pub guard: Guard,
}

/// Routes of some domains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualHost {
    #[serde(default)]
    pub name: Arc<str>,
    /// `a.example.com`, `*.example.com`, `a.*` or `*`; the most exact wins.
    pub domains: Vec<Arc<str>>,
    pub routes: Vec<Arc<Route>>,
    #[serde(default)]
    pub request_headers: HeaderEdits,
    #[serde(default)]
    pub response_headers: HeaderEdits,
    #[serde(default)]
    pub guard: Guard,
}

/// Virtual hosts of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    pub name: Arc<str>,
    pub virtual_hosts: Vec<VirtualHost>,
}
