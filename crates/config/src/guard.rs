//! Who may send requests to a virtual host or route, and how many.
use cloudwright_guard::config::{Authentication, Authorization, RateLimit};
use serde::{Deserialize, Serialize};

/// Checked in this order: authentication, authorization, rate limits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// How callers prove who they are; a route's takes the place of its virtual host's.
    pub authentication: Option<Authentication>,
    pub authorization: Option<Authorization>,
    pub rate_limits: Vec<RateLimit>,
}

impl Guard {
    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
