//! Authorization: which rule decides, and what it says.
use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method};
use serde_json::Value;

use crate::config::{Action, Authorization, ConfigError, Path, Rule};
use crate::facts::Facts;
use crate::pattern;
use crate::principal::{Principal, Principals};
use crate::refusal::{Reason, Refusal};

/// The rules of one place, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Authorizer {
    deny: Vec<Compiled>,
    allow: Vec<Compiled>,
    paths: bool,
}

#[derive(Debug, Clone)]
struct Compiled {
    name: Arc<str>,
    methods: Vec<Method>,
    hosts: Vec<String>,
    rule: Rule,
}

/// The outcome, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This allow rule matched.
    AllowedBy(Arc<str>),
    /// There is no allow rule, and no deny rule matched.
    AllowedByDefault,
    /// This deny rule matched.
    DeniedBy(Arc<str>),
    /// There are allow rules, and none matched.
    DeniedByDefault,
    /// The path has more than one reading.
    Ambiguous,
}

impl Decision {
    /// Whether the request may pass.
    pub const fn allowed(&self) -> bool {
        matches!(self, Self::AllowedBy(_) | Self::AllowedByDefault)
    }

    /// The name of the rule that decided, if one did.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Self::AllowedBy(rule) | Self::DeniedBy(rule) => Some(rule),
            _ => None,
        }
    }

    /// The refusal, unless it is allowed. Callers are not told the rule; the log is.
    pub fn refusal(&self) -> Option<Refusal> {
        let message = "the policy does not allow this request";
        match self {
            Self::AllowedBy(_) | Self::AllowedByDefault => None,
            Self::DeniedBy(rule) => {
                Some(Refusal::new(Reason::Forbidden, message).detail(Arc::clone(rule)))
            }
            Self::DeniedByDefault => Some(Refusal::new(Reason::Forbidden, message)),
            Self::Ambiguous => Some(Refusal::new(
                Reason::AmbiguousPath,
                "the path has an encoded slash, a backslash, a NUL or a bad escape",
            )),
        }
    }
}

struct Question<'a> {
    method: &'a Method,
    path: &'a str,
    host: &'a str,
    identity: &'a str,
    principals: &'a Principals,
}

impl Authorizer {
    /// Rules as configured.
    ///
    /// # Errors
    /// What [`Authorization::check`] refuses.
    pub fn new(config: &Authorization) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rules = Self {
            paths: config.rules.iter().any(|rule| !rule.paths.is_empty()),
            ..Self::default()
        };
        for rule in &config.rules {
            let methods = rule
                .methods
                .iter()
                .map(|name| Method::from_bytes(name.as_bytes()));
            let compiled = Compiled {
                name: rule.name.as_str().into(),
                methods: methods
                    .collect::<Result<_, _>>()
                    .map_err(|error| ConfigError::at("rules.methods", error.to_string()))?,
                hosts: rule
                    .hosts
                    .iter()
                    .map(|host| host.to_ascii_lowercase())
                    .collect(),
                rule: rule.clone(),
            };
            match rule.action {
                Action::Allow => rules.allow.push(compiled),
                Action::Deny => rules.deny.push(compiled),
            }
        }
        Ok(rules)
    }

    /// Whether there is nothing to ask.
    pub const fn is_empty(&self) -> bool {
        self.deny.is_empty() && self.allow.is_empty()
    }

    /// Decides about a request.
    pub fn decide(&self, parts: &Parts, facts: &Facts, principals: &Principals) -> Decision {
        let path = if self.paths {
            match pattern::normalize(parts.uri.path()) {
                Ok(path) => path,
                Err(pattern::Ambiguous) => return Decision::Ambiguous,
            }
        } else {
            parts.uri.path().into()
        };
        let question = Question {
            method: &parts.method,
            path: &path,
            host: host(parts),
            identity: facts.identity.as_deref().unwrap_or_default(),
            principals,
        };
        if let Some(rule) = self.deny.iter().find(|rule| rule.matches(&question)) {
            return Decision::DeniedBy(Arc::clone(&rule.name));
        }
        match self.allow.iter().find(|rule| rule.matches(&question)) {
            Some(rule) => Decision::AllowedBy(Arc::clone(&rule.name)),
            None if self.allow.is_empty() => Decision::AllowedByDefault,
            None => Decision::DeniedByDefault,
        }
    }
}

/// The host without port, as it came.
fn host(parts: &Parts) -> &str {
    let header = || parts.headers.get(HOST).map(HeaderValue::to_str);
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => header().and_then(Result::ok).unwrap_or_default(),
    };
    let bare = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    };
    bare.rsplit_once('@')
        .map_or(bare, |(_, host)| host)
        .trim_end_matches('.')
}

impl Compiled {
    fn matches(&self, question: &Question) -> bool {
        let rule = &self.rule;
        let names = |patterns: &[String], of: &dyn Fn(&Principal) -> Option<&str>| {
            patterns.is_empty()
                || question
                    .principals
                    .iter()
                    .filter_map(of)
                    .any(|name| patterns.iter().any(|pattern| pattern::name(pattern, name)))
        };
        (self.methods.is_empty() || self.methods.contains(question.method))
            && (rule.paths.is_empty() || rule.paths.iter().any(|p| path(p, question.path)))
            && (self.hosts.is_empty() || self.hosts.iter().any(|h| host_fits(h, question.host)))
            && (rule.identities.is_empty()
                || rule
                    .identities
                    .iter()
                    .any(|p| pattern::name(p, question.identity)))
            && names(&rule.principals, &|principal| Some(principal.name()))
            && names(&rule.tenants, &Principal::tenant)
            && rule
                .claims
                .iter()
                .all(|(claim, wanted)| claim_fits(question.principals, claim, wanted))
    }
}

fn path(wanted: &Path, path: &str) -> bool {
    match wanted {
        Path::Exact(text) => text == path,
        Path::Prefix(text) => path
            .strip_prefix(text.as_str())
            .is_some_and(|rest| rest.is_empty() || text.ends_with('/') || rest.starts_with('/')),
        Path::Glob(text) => pattern::glob(text, path),
    }
}

fn host_fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => {
            host.len() > end.len()
                && host
                    .get(host.len() - end.len()..)
                    .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        }
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn claim_fits(principals: &Principals, name: &str, wanted: &[String]) -> bool {
    let fits = |text: &str| wanted.iter().any(|pattern| pattern::name(pattern, text));
    let value = principals
        .iter()
        .filter_map(Principal::claims)
        .find_map(|claims| crate::jwt::claim(claims, name));
    match value {
        Some(Value::String(text)) => fits(text) || text.split(' ').any(fits),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(fits),
        Some(Value::Bool(flag)) => fits(if *flag { "true" } else { "false" }),
        Some(Value::Number(number)) => fits(&number.to_string()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::principal::KeyHolder;

    fn authorizer(rules: serde_json::Value) -> Authorizer {
        let config = serde_json::from_value(serde_json::json!({"rules": rules})).unwrap();
        Authorizer::new(&config).unwrap()
    }

    fn ask(rules: &Authorizer, method: &str, uri: &str, identity: Option<&str>) -> Decision {
        let parts = Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let mut facts = Facts::plain([10, 0, 0, 1].into());
        facts.identity = identity.map(Into::into);
        rules.decide(&parts, &facts, &Principals::nobody())
    }

    #[test]
    fn without_rules_all_is_allowed() {
        let rules = Authorizer::default();
        assert_eq!(ask(&rules, "GET", "/", None), Decision::AllowedByDefault);
    }

    #[test]
    fn one_allow_rule_denies_the_rest() {
        let rules = authorizer(serde_json::json!([
            {"name": "shop", "identities": ["spiffe://mesh/ns/shop/sa/*"], "methods": ["GET"]},
        ]));
        let shop = Some("spiffe://mesh/ns/shop/sa/web");
        assert_eq!(
            ask(&rules, "GET", "/", shop),
            Decision::AllowedBy("shop".into())
        );
        assert_eq!(ask(&rules, "POST", "/", shop), Decision::DeniedByDefault);
        assert_eq!(ask(&rules, "GET", "/", None), Decision::DeniedByDefault);
        let other = Some("spiffe://mesh/ns/shop2/sa/web");
        assert_eq!(ask(&rules, "GET", "/", other), Decision::DeniedByDefault);
    }

    #[test]
    fn deny_wins_and_paths_have_one_spelling() {
        let rules = authorizer(serde_json::json!([
            {"name": "all", "identities": []},
            {"name": "no-admin", "action": "deny", "paths": [{"prefix": "/admin"}]},
        ]));
        for uri in [
            "/admin",
            "/admin/x",
            "//admin",
            "/a/../admin",
            "/%61dmin/",
            "/./admin",
        ] {
            assert_eq!(
                ask(&rules, "GET", uri, None),
                Decision::DeniedBy("no-admin".into())
            );
        }
        assert_eq!(
            ask(&rules, "GET", "/a%2f..%2fadmin", None),
            Decision::Ambiguous
        );
        assert_eq!(
            ask(&rules, "GET", "/administrator", None),
            Decision::AllowedBy("all".into())
        );
    }

    #[test]
    fn hosts_principals_and_tenants() {
        let rules = authorizer(serde_json::json!([
            {"name": "a", "hosts": ["*.example.com"], "principals": ["ci-*"], "tenants": ["shop"]},
        ]));
        let holder = |name: &str, tenant: &str| -> Principals {
            let holder = KeyHolder {
                name: name.into(),
                tenant: Some(tenant.into()),
                expires: None,
            };
            Principal::Key(Arc::new(holder)).into()
        };
        let ask = |host: &str, principals: Principals| {
            let parts = Request::builder()
                .header("host", host)
                .body(())
                .unwrap()
                .into_parts()
                .0;
            rules
                .decide(&parts, &Facts::plain([10, 0, 0, 1].into()), &principals)
                .allowed()
        };
        assert!(ask("Api.Example.com:8080", holder("ci-1", "shop")));
        assert!(!ask("example.com", holder("ci-1", "shop")));
        assert!(!ask("evilexample.com", holder("ci-1", "shop")));
        assert!(!ask("api.example.com", holder("ops", "shop")));
        assert!(!ask("api.example.com", holder("ci-1", "other")));
        assert!(!ask("api.example.com", Principals::nobody()));
    }

    #[test]
    fn refusals_explain_to_the_log_only() {
        let refusal = Decision::DeniedBy("secret-rule".into()).refusal().unwrap();
        assert_eq!(refusal.detail.as_deref(), Some("secret-rule"));
        assert!(!refusal.message.contains("secret-rule"));
        assert_eq!(refusal.grpc_code(), 7);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        for (rules, field) in [
            (serde_json::json!([{"name": ""}]), "rules[0].name"),
            (
                serde_json::json!([{"name": "a"}, {"name": "a"}]),
                "rules[1].name",
            ),
            (
                serde_json::json!([{"name": "a", "methods": ["G T"]}]),
                "rules[0].methods",
            ),
            (
                serde_json::json!([{"name": "a", "paths": [{"exact": "x"}]}]),
                "rules[0].paths",
            ),
        ] {
            let config: Authorization =
                serde_json::from_value(serde_json::json!({"rules": rules})).unwrap();
            assert_eq!(Authorizer::new(&config).unwrap_err().field, field);
        }
    }
}
