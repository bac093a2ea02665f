//! Virtual hosts by domain: exact, `*.suffix` (longest first), `prefix.*` (longest first), `*`.
use std::{collections::HashMap, sync::Arc};

use cloudwright_config::{ConfigError, RouteTable, VirtualHost};
use http::request::Parts;

use super::{
    edits::Edits,
    guarding::Guard,
    index::Index,
    rule::{Resolver, Rule},
};
use crate::router::canonical_host;

/// A virtual host, prepared.
pub struct Host {
    pub request_edits: Edits,
    pub response_edits: Edits,
    pub guard: Option<Guard>,
    index: Index,
    rules: Vec<Arc<Rule>>,
}

impl Host {
    fn new(config: &VirtualHost, resolver: &mut dyn Resolver) -> Result<Self, ConfigError> {
        let mut index = Index::default();
        let mut rules = Vec::with_capacity(config.routes.len());
        for (place, route) in (0u32..).zip(&config.routes) {
            index.add(&route.matches.path, route.matches.ignore_case, place);
            let rule = Rule::new(route, resolver).map_err(|mut problem| {
                problem.field = format!(
                    "virtual host {:?} route {place}: {}",
                    config.name, problem.field
                );
                problem
            })?;
            rules.push(Arc::new(rule));
        }
        Ok(Self {
            request_edits: Edits::new(&config.request_headers)?,
            response_edits: Edits::new(&config.response_headers)?,
            guard: Guard::new(
                &config.guard,
                &format!("host {}", config.name).into(),
                resolver,
            )?,
            index,
            rules,
        })
    }

    fn find(&self, parts: &Parts, random: u64) -> Option<&Arc<Rule>> {
        let rule = |place: u32| {
            usize::try_from(place)
                .ok()
                .and_then(|at| self.rules.get(at))
        };
        let holds = |place| rule(place).is_some_and(|one| one.holds(parts, random));
        self.index.first(parts.uri.path(), holds).and_then(rule)
    }
}

/// A route table, prepared; immutable.
#[derive(Default)]
pub struct Table {
    exact: HashMap<Box<str>, Arc<Host>>,
    /// `.example.com`, longest first.
    suffixes: Vec<(Box<str>, Arc<Host>)>,
    /// `example.`, longest first.
    prefixes: Vec<(Box<str>, Arc<Host>)>,
    any: Option<Arc<Host>>,
    pub rules: usize,
}

impl Table {
    /// Prepares `config`.
    ///
    /// # Errors
    /// A rule that cannot be prepared, or a domain that two virtual hosts have.
    pub fn new(config: &RouteTable, resolver: &mut dyn Resolver) -> Result<Self, ConfigError> {
        let mut table = Self::default();
        for one in &config.virtual_hosts {
            let host = Arc::new(Host::new(one, resolver)?);
            table.rules += host.rules.len();
            for domain in &one.domains {
                if !table.add(domain, &host) {
                    let place = format!("routes {:?}", config.name);
                    let reason = format!("two virtual hosts have the domain {domain:?}");
                    return Err(ConfigError::new(place, reason));
                }
            }
        }
        let longest = |list: &mut Vec<(Box<str>, Arc<Host>)>| {
            list.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        };
        longest(&mut table.suffixes);
        longest(&mut table.prefixes);
        Ok(table)
    }

    fn add(&mut self, domain: &str, host: &Arc<Host>) -> bool {
        let lower = domain.to_ascii_lowercase();
        let new = |list: &mut Vec<(Box<str>, Arc<Host>)>, text: &str| {
            let fresh = list.iter().all(|(known, _)| **known != *text);
            list.push((text.into(), Arc::clone(host)));
            fresh
        };
        if lower == "*" {
            self.any.replace(Arc::clone(host)).is_none()
        } else if let Some(suffix) = lower.strip_prefix('*') {
            new(&mut self.suffixes, suffix)
        } else if let Some(prefix) = lower.strip_suffix('*') {
            new(&mut self.prefixes, prefix)
        } else {
            let name = canonical_host(&lower);
            self.exact.insert(name.into(), Arc::clone(host)).is_none()
        }
    }

    fn host(&self, authority: &str) -> Option<&Arc<Host>> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any.as_ref();
        }
        let name = canonical_host(authority);
        let name = name.as_str();
        let longer = |text: &str| name.len() > text.len();
        self.exact
            .get(name)
            .or_else(|| {
                let ends = |text: &str| longer(text) && name.ends_with(text);
                self.suffixes
                    .iter()
                    .find(|(text, _)| ends(text))
                    .map(|(_, host)| host)
            })
            .or_else(|| {
                let begins = |text: &str| longer(text) && name.starts_with(text);
                self.prefixes
                    .iter()
                    .find(|(text, _)| begins(text))
                    .map(|(_, host)| host)
            })
            .or(self.any.as_ref())
    }

    /// The virtual host and rule for a request to `authority`.
    #[must_use]
    pub fn find(
        &self,
        authority: &str,
        parts: &Parts,
        random: u64,
    ) -> Option<(&Arc<Host>, &Arc<Rule>)> {
        let host = self.host(authority)?;
        Some((host, host.find(parts, random)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudwright_guard::{Authenticator, Limiter};

    use crate::{telemetry::Series, upstream::Cluster};

    struct Names;

    impl Resolver for Names {
        fn cluster(&mut self, name: &Arc<str>) -> Arc<Cluster> {
            Arc::new(Cluster::unknown(Arc::clone(name)))
        }
        fn series(&mut self, _: &Arc<str>) -> Arc<Series> {
            Arc::default()
        }
        fn authenticator(&mut self, _: &Arc<Authenticator>) {}
        fn limiter(&mut self, _: &Arc<str>, made: Limiter) -> Arc<Limiter> {
            Arc::new(made)
        }
    }

    fn table(text: &str) -> Table {
        let routes: Vec<RouteTable> = {
            let clusters = "clusters: [{name: a}, {name: b}, {name: c}]";
            let found = cloudwright_config::from_text(&format!("{clusters}\nroutes:\n{text}"), "t");
            found
                .unwrap()
                .routes
                .values()
                .map(|one| (**one).clone())
                .collect()
        };
        Table::new(&routes[0], &mut Names).unwrap()
    }

    fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    const DOMAINS: &str = r#"
- name: t
  virtual_hosts:
  - {domains: ["*"], routes: [{name: any, action: {respond: {status: 200}}}]}
  - {domains: ["a.example.com"], routes: [{name: exact, action: {respond: {status: 200}}}]}
  - {domains: ["*.example.com"], routes: [{name: suffix, action: {respond: {status: 200}}}]}
  - {domains: ["*.b.example.com"], routes: [{name: longer, action: {respond: {status: 200}}}]}
  - {domains: ["shop.*"], routes: [{name: prefix, action: {respond: {status: 200}}}]}
"#;

    #[test]
    fn the_most_exact_domain_counts() {
        let table = table(DOMAINS);
        for (host, wanted) in [
            ("A.example.com:8080", "exact"),
            ("z.example.com", "suffix"),
            ("z.b.example.com", "longer"),
            ("shop.de", "prefix"),
            ("example.com", "any"),
            ("", "any"),
        ] {
            let found = table.find(host, &parts("GET", "/", &[]), 0);
            assert_eq!(&*found.unwrap().1.label, wanted, "{host}");
        }
    }

    const RULES: &str = r#"
- name: t
  virtual_hosts:
  - domains: ["*"]
    routes:
    - {name: post, match: {methods: [POST]}, action: {forward: {cluster: a}}}
    - name: header
      match: {headers: [{name: X-Env, value: {exact: test}}]}
      action: {forward: {cluster: a}}
    - name: query
      match: {query: [{name: v, value: {range: [2, 4]}}]}
      action: {forward: {cluster: a}}
    - {name: grpc, match: {grpc: true}, action: {forward: {cluster: a}}}
    - {name: half, match: {path: {prefix: /half}, percent: 50}, action: {forward: {cluster: a}}}
    - name: split
      action: {forward: {clusters: [{cluster: a, weight: 3}, {cluster: b, weight: 1}]}}
"#;

    #[test]
    fn the_first_rule_that_holds_counts() {
        let table = table(RULES);
        let label = |parts: Parts, random| {
            table
                .find("h", &parts, random)
                .map(|(_, rule)| rule.label.to_string())
                .unwrap()
        };
        assert_eq!(label(parts("POST", "/", &[]), 0), "post");
        assert_eq!(label(parts("GET", "/", &[("x-env", "test")]), 0), "header");
        assert_eq!(label(parts("GET", "/?a=1&v=3", &[]), 0), "query");
        assert_eq!(label(parts("GET", "/?v=4", &[]), 0), "split");
        let grpc = [("content-type", "application/grpc+proto")];
        assert_eq!(label(parts("GET", "/", &grpc), 0), "grpc");
        assert_eq!(label(parts("GET", "/half/x", &[]), 0), "half");
        assert_eq!(label(parts("GET", "/half/x", &[]), u64::MAX), "split");
    }

    #[test]
    fn weights_share_out() {
        let table = table(RULES);
        let (_, rule) = table.find("h", &parts("GET", "/", &[]), 0).unwrap();
        let forward = rule.forward.as_ref().unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        let hits = (0..8_000)
            .filter(|_| &*forward.choose(random.u64(..)).unwrap().name == "b")
            .count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
    }
}
