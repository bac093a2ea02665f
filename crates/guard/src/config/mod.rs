//! What may be configured: authentication, authorization and rate limits, as read from a file.
//!
//! | module | lives here |
//! | --- | --- |
//! | `authentication` | who a caller may be, and how he proves it |
//! | `authorization` | what a known caller may do |
//! | `rate` | how often |
//! | `duration` | `250ms`, `5s`, `1h 30m` |
//!
//! All types refuse unknown fields. Shape is checked by serde, meaning by `check()`, which names
//! the field it refuses relative to the value it is called on.
mod authentication;
mod authorization;
pub mod duration;
mod rate;

pub use authentication::{
    Algorithm, ApiKeys, Authentication, External, Jwks, Jwt, KeyLocation, Mtls, Provider,
    Requirement, TokenHandling, TokenLocation,
};
pub use authorization::{Action, Authorization, Path, Rule};
pub use rate::{ClientKey, Key, Per, RateLimit, ResponseHeaders, TenantKey};

/// A configuration that has the right shape but cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct ConfigError {
    /// The path of the field, e.g. `providers[1].jwt.algorithms`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

impl ConfigError {
    /// An error at `field`.
    pub fn at(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }

    /// The same error seen from one level further up.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => parent.to_owned(),
            field if field.starts_with('[') => format!("{parent}{field}"),
            field => format!("{parent}.{field}"),
        };
        self
    }
}

#[cfg(test)]
mod tests;
