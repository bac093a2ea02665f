//! `authorization`: rules over identity, method, path and host.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// What callers may do. A deny rule that matches refuses; otherwise, if there are allow rules,
/// one of them has to match; without any allow rule the rest is let through.
///
/// ```yaml
/// rules:
///   - {name: shop-reads, identities: ["spiffe://mesh/ns/shop/sa/*"], methods: [GET]}
///   - {name: no-admin, action: deny, paths: [{prefix: /admin}]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Authorization {
    /// The rules; order matters only for which of several matching ones is named.
    pub rules: Vec<Rule>,
}

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Lets the request pass.
    #[default]
    Allow,
    /// Refuses it, whatever else allows it.
    Deny,
}

/// One rule: it matches when every list that is not empty has an entry that matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Rule {
    /// Named in refusals, logs and metrics.
    pub name: String,
    /// Allow or deny.
    #[serde(default)]
    pub action: Action,
    /// SPIFFE identities of the verified peer; `*` within a segment, `**` across; `*` alone: any.
    #[serde(default)]
    pub identities: Vec<String>,
    /// Names of authenticated callers: of an API key, or `ISSUER/SUBJECT` of a token.
    #[serde(default)]
    pub principals: Vec<String>,
    /// Tenants of the credential.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Claims of the token, each with the values that match (a list or a space-separated scope
    /// matches when one of its members does). All of the claims named here have to match.
    #[serde(default)]
    pub claims: BTreeMap<String, Vec<String>>,
    /// Methods, exactly.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Paths, after normalization.
    #[serde(default)]
    pub paths: Vec<Path>,
    /// Hosts without port, in any case; `*.example.com` matches every name below.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// How a path is matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// This path.
    Exact(String),
    /// This path and everything below it: `/a` matches `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// `*` for one segment or a part of it, `**` for any number of segments.
    Glob(String),
}

impl Path {
    /// The text of the pattern.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Glob(text) => text,
        }
    }
}

impl Authorization {
    /// Says what cannot be meant.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (index, rule) in self.rules.iter().enumerate() {
            let at = |field: &str, why: String| {
                Err(ConfigError::at(format!("rules[{index}].{field}"), why))
            };
            if rule.name.is_empty() {
                return at("name", "is empty: refusals name their rule".to_owned());
            }
            if self
                .rules
                .iter()
                .take(index)
                .any(|other| other.name == rule.name)
            {
                return at("name", format!("{:?} is used twice", rule.name));
            }
            for path in &rule.paths {
                if !path.text().starts_with('/') && path.text() != "**" {
                    return at("paths", format!("{:?} does not start with /", path.text()));
                }
            }
            for method in &rule.methods {
                if http::Method::from_bytes(method.as_bytes()).is_err() {
                    return at("methods", format!("{method:?} is not a method"));
                }
            }
        }
        Ok(())
    }
}
