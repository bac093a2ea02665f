//! The five types of resources.
use std::fmt;

use serde::Serialize;

/// A type of resources, in the order in which a stream first asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Cluster,
    Endpoints,
    Listener,
    Routes,
    Secret,
}

/// What begins every type URL.
const PREFIX: &str = "type.googleapis.com/";

impl Kind {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::Cluster,
        Self::Endpoints,
        Self::Listener,
        Self::Routes,
        Self::Secret,
    ];

    /// The full name of the resource's message.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Cluster => "envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "envoy.config.listener.v3.Listener",
            Self::Routes => "envoy.config.route.v3.RouteConfiguration",
            Self::Secret => "envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The type URL of requests.
    #[must_use]
    pub fn url(self) -> String {
        format!("{PREFIX}{}", self.message())
    }

    /// The type with this URL, or full name.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let name = url.rsplit('/').next().unwrap_or(url);
        Self::ALL.into_iter().find(|kind| kind.message() == name)
    }

    /// Whether a stream gets all resources of the type instead of those it names.
    #[must_use]
    pub fn wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Endpoints => "endpoints",
            Self::Listener => "listener",
            Self::Routes => "routes",
            Self::Secret => "secret",
        })
    }
}
