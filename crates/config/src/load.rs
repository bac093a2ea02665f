//! From a file (YAML or JSON) to checked resources.
use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::Deserialize;

use crate::{
    Cluster, ConfigError, Listener, Resources, RouteTable, Secret, check, resources::Assignment,
};

/// The file: lists, because people write lists.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    listeners: Vec<Listener>,
    routes: Vec<RouteTable>,
    clusters: Vec<Cluster>,
    assignments: Vec<Assignment>,
    secrets: Vec<Secret>,
}

trait Named {
    fn name(&self) -> &Arc<str>;
}

macro_rules! named {
    ($($kind:ty),*) => { $(impl Named for $kind {
        fn name(&self) -> &Arc<str> { &self.name }
    })* };
}
named!(Listener, RouteTable, Cluster, Assignment, Secret);

fn by_name<T: Named>(
    list: Vec<T>,
    place: &str,
    problems: &mut Vec<ConfigError>,
) -> BTreeMap<Arc<str>, Arc<T>> {
    let mut all = BTreeMap::new();
    for (index, one) in list.into_iter().enumerate() {
        let name = Arc::clone(one.name());
        let field = format!("{place}[{index}].name");
        if name.is_empty() {
            problems.push(ConfigError::new(field, "must not be empty"));
        } else if all.insert(Arc::clone(&name), Arc::new(one)).is_some() {
            problems.push(ConfigError::new(field, format!("{name:?} appears twice")));
        }
    }
    all
}

/// Reads and checks a file.
///
/// # Errors
/// Every problem found, each with file, place and reason.
pub fn from_file(file: &Path) -> Result<Resources, Vec<ConfigError>> {
    let source = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|why| vec![ConfigError::new("", format!("cannot read: {why}")).of(&source)])?;
    from_text(&text, &source)
}

/// Reads any document, YAML or JSON, without knowing what is in it.
///
/// # Errors
/// What is wrong with it, with file, line and column.
pub fn document<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, ConfigError> {
    let source = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|why| ConfigError::new("", format!("cannot read: {why}")).of(&source))?;
    parse(&text, &source)
}

/// Machines write JSON, and much of it: it is read by its own parser, and by YAML's only when it is
/// none (or to say what is wrong with it).
fn parse<T: serde::de::DeserializeOwned>(text: &str, source: &str) -> Result<T, ConfigError> {
    if text.trim_start().starts_with('{')
        && let Ok(found) = serde_json::from_str(text)
    {
        return Ok(found);
    }
    // The file is its owner's: what is bounded is what small text can grow to.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000_000,
            max_nodes: 20_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|why| syntax(&why, source))
}

/// Reads and checks `text`; JSON is YAML too.
///
/// # Errors
/// Every problem found, each with `source`, place and reason.
pub fn from_text(text: &str, source: &str) -> Result<Resources, Vec<ConfigError>> {
    let document: Document = parse(text, source).map_err(|why| vec![why])?;
    let mut problems = Vec::new();
    let resources = Resources {
        listeners: by_name(document.listeners, "listeners", &mut problems),
        routes: by_name(document.routes, "routes", &mut problems),
        clusters: by_name(document.clusters, "clusters", &mut problems),
        assignments: by_name(document.assignments, "assignments", &mut problems),
        secrets: by_name(document.secrets, "secrets", &mut problems),
    };
    problems.extend(check::all(&resources));
    if problems.is_empty() {
        Ok(resources)
    } else {
        Err(problems.into_iter().map(|one| one.of(source)).collect())
    }
}

fn syntax(why: &serde_saphyr::Error, source: &str) -> ConfigError {
    let at = why
        .location()
        .map(|place| format!("{source}:{}:{}", place.line(), place.column()))
        .unwrap_or_else(|| source.to_owned());
    let reason = why
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    ConfigError::new("", reason).of(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
listeners:
- name: edge
  address: 127.0.0.1:8080
  routes: main
  limits: {header_timeout: 5s, max_streams: 100}
routes:
- name: main
  virtual_hosts:
  - name: shop
    domains: ["shop.example.com", "*.shop.example.com"]
    routes:
    - match: {path: {exact: /pay}, methods: [POST], headers: [{name: x-a, value: {prefix: b}}]}
      action: {forward: {cluster: pay, timeout: 2s, retry: {attempts: 2, on: [reset, 5xx]}}}
    - match: {path: {regex: "/v[0-9]+/.*"}}
      action: {redirect: {path: /}}
    - action:
        forward:
          clusters: [{cluster: pay, weight: 9}, {cluster: canary, weight: 1}]
          hash: [{header: x-user}, source, {cookie: {name: c, ttl: 1h}}]
    request_headers: {set: {x-edge: "1"}}
clusters:
- name: pay
  load_balancer: {least_request: {}}
  endpoints: [{address: 127.0.0.1:9000, weight: 3}, {address: "unix:/run/pay.sock"}]
  health_checks: [{check: {http: {path: /healthz}}}]
- name: canary
  discovery: {dns: {refresh: 5s}}
  load_balancer: {ring_hash: {}}
  endpoints: [{address: canary.local:80}]
  outlier: {consecutive_errors: 3, base_ejection: 1s}
"#;

    #[test]
    fn a_whole_file_is_read() {
        let found = from_text(WHOLE, "x.yaml").unwrap();
        let pay = &found.clusters["pay"];
        assert_eq!(pay.endpoints[0].weight, 3);
        assert_eq!(found.listeners["edge"].limits.max_streams, 100);
        assert_eq!(found.routes["main"].virtual_hosts[0].routes.len(), 3);
    }

    #[test]
    fn many_endpoints_are_no_bomb() {
        use std::fmt::Write;
        let mut text = String::from("clusters:\n- name: c\n  endpoints:\n");
        for port in 1..=60_000 {
            let _ = writeln!(text, "  - {{address: \"127.0.0.1:{port}\", weight: 2}}");
        }
        let found = from_text(&text, "x").unwrap();
        assert_eq!(found.clusters["c"].endpoints.len(), 60_000);
    }

    #[test]
    fn json_is_read_too() {
        let text = r#"{"clusters": [{"name": "a", "endpoints": [{"address": "127.0.0.1:1"}]}]}"#;
        assert_eq!(from_text(text, "x.json").unwrap().clusters.len(), 1);
    }

    fn problems(text: &str) -> Vec<String> {
        let found = from_text(text, "x.yaml").unwrap_err();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_problem_says_where_it_is() {
        let wrong = WHOLE.replace("max_streams: 100", "max_stream: 100");
        let found = problems(&wrong);
        assert!(found[0].starts_with("x.yaml:6:"), "{found:?}");
        assert!(found[0].contains("max_stream"), "{found:?}");
        let found = problems(&WHOLE.replace("header_timeout: 5s", "header_timeout: soon"));
        assert!(
            found[0].starts_with("x.yaml:6:") && found[0].contains("soon"),
            "{found:?}"
        );
        let found = problems(&WHOLE.replace("/v[0-9]+/.*", "/v["));
        assert!(found[0].contains("no regular expression"), "{found:?}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused_whole() {
        let wrong = WHOLE
            .replace("cluster: canary, weight: 1", "cluster: gone, weight: 1")
            .replace("routes: main", "routes: other")
            .replace("name: canary\n", "name: pay\n");
        let found = problems(&wrong).join("\n");
        for part in [
            "clusters[1].name: \"pay\" appears twice",
            "there are no routes \"other\"",
            "there is no cluster \"gone\"",
        ] {
            assert!(found.contains(part), "{part} is not in\n{found}");
        }
    }

    #[test]
    fn equal_parts_are_shared() {
        let old = from_text(WHOLE, "x").unwrap();
        let new = from_text(&WHOLE.replace("weight: 3", "weight: 4"), "x")
            .unwrap()
            .sharing(&old);
        assert!(Arc::ptr_eq(
            &old.clusters["canary"],
            &new.clusters["canary"]
        ));
        assert!(Arc::ptr_eq(&old.routes["main"], &new.routes["main"]));
        assert!(!Arc::ptr_eq(&old.clusters["pay"], &new.clusters["pay"]));
    }
}
