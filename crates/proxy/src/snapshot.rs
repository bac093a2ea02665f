//! The mesh snapshot as it is on disk: parsed and checked as a whole, or refused as a whole.
//!
//! Unknown fields are ignored: a proxy that runs may be older than the daemon that writes.
use std::{collections::HashSet, net::Ipv4Addr};

use serde::Deserialize;

use crate::identity::SpiffeId;

/// What a Service port speaks behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2 from the client, HTTP/1.1 to the application.
    #[default]
    Http,
    /// HTTP/2 clear to the application.
    Grpc,
    /// Raw bytes.
    Tcp,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancer {
    #[default]
    RoundRobin,
    LeastRequest,
}

/// One port of a Service.
#[derive(Debug, Clone, Deserialize)]
pub struct ServicePort {
    #[serde(default)]
    pub name: String,
    pub port: u16,
    #[serde(default)]
    pub protocol: Protocol,
}

/// One pod behind a Service; `ports` maps port names to the application's ports.
#[derive(Debug, Clone, Deserialize)]
pub struct ServiceEndpoint {
    pub ip: Ipv4Addr,
    pub identity: String,
    pub ports: std::collections::BTreeMap<String, u16>,
}

/// One Service of the same namespace that takes a share of another one's requests.
#[derive(Debug, Clone, Deserialize)]
pub struct Backend {
    pub service: String,
    /// Requests go by weight / sum of all weights; 0 gets none.
    pub weight: u32,
}

/// A Service; `cluster_ip` may be missing, empty or `None` (headless).
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    #[serde(default)]
    pub cluster_ip: Option<String>,
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    pub ports: Vec<ServicePort>,
    #[serde(default)]
    pub endpoints: Vec<ServiceEndpoint>,
    /// Who answers its requests, port by port; nobody else than itself when empty.
    #[serde(default)]
    pub backends: Vec<Backend>,
}

/// What may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    ConnectFailure,
    Reset,
    Unavailable,
}

/// How often and when a request is tried again.
#[derive(Debug, Clone, Deserialize)]
pub struct Retries {
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub per_try_timeout_ms: u64,
    #[serde(default)]
    pub on: Vec<RetryOn>,
}

/// A route of the gateway.
#[derive(Debug, Clone, Deserialize)]
pub struct Route {
    pub namespace: String,
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub path_prefix: String,
    /// `path_prefix` is the whole path: what lies below it is not meant.
    #[serde(default)]
    pub exact: bool,
    #[serde(default)]
    pub strip_prefix: bool,
    pub service: String,
    pub port: u16,
    #[serde(default)]
    pub timeout_ms: u64,
    #[serde(default)]
    pub retries: Option<Retries>,
    #[serde(default)]
    pub load_balancer: Option<LoadBalancer>,
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
pub struct Snapshot {
    pub version: u64,
    pub trust_domain: String,
    #[serde(default)]
    pub services: Vec<Service>,
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// Why a snapshot was refused: the place in the file and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct SnapshotError {
    pub place: String,
    pub reason: String,
}

fn refuse(place: impl Into<String>, reason: impl Into<String>) -> SnapshotError {
    SnapshotError {
        place: place.into(),
        reason: reason.into(),
    }
}

impl Service {
    /// The virtual address, `None` for a headless Service.
    pub fn address(&self) -> Result<Option<Ipv4Addr>, String> {
        match self.cluster_ip.as_deref() {
            None | Some("" | "None") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| format!("{text:?} is no IPv4 address")),
        }
    }
}

impl Snapshot {
    /// Parses and checks a file for a proxy of `trust_domain`.
    pub fn parse(text: &[u8], trust_domain: &str) -> Result<Self, SnapshotError> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let snapshot: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| refuse(error.path().to_string(), error.inner().to_string()))?;
        reader
            .end()
            .map_err(|error| refuse(".", error.to_string()))?;
        snapshot.check(trust_domain)?;
        Ok(snapshot)
    }

    fn check(&self, trust_domain: &str) -> Result<(), SnapshotError> {
        if self.trust_domain != trust_domain {
            return Err(refuse(
                "trust_domain",
                format!(
                    "is {:?}, this proxy's is {trust_domain:?}",
                    self.trust_domain
                ),
            ));
        }
        let mut names = HashSet::new();
        let mut addresses = HashSet::new();
        for (index, service) in self.services.iter().enumerate() {
            let place = format!("services[{index}]");
            check_service(service, &place, trust_domain)?;
            if !names.insert((&service.namespace, &service.name)) {
                return Err(refuse(
                    place,
                    format!("{}/{} appears twice", service.namespace, service.name),
                ));
            }
            if let Ok(Some(address)) = service.address()
                && !addresses.insert(address)
            {
                return Err(refuse(
                    format!("{place}.cluster_ip"),
                    format!("{address} is used by two Services"),
                ));
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            check_route(route, &format!("routes[{index}]"))?;
        }
        Ok(())
    }
}

fn check_service(service: &Service, place: &str, domain: &str) -> Result<(), SnapshotError> {
    if service.namespace.is_empty() || service.name.is_empty() {
        return Err(refuse(place, "namespace and name must not be empty"));
    }
    service
        .address()
        .map_err(|why| refuse(format!("{place}.cluster_ip"), why))?;
    let mut names = HashSet::new();
    let mut numbers = HashSet::new();
    for (index, port) in service.ports.iter().enumerate() {
        let place = format!("{place}.ports[{index}]");
        if port.port == 0 {
            return Err(refuse(format!("{place}.port"), "0 is no port"));
        }
        if !names.insert(&port.name) {
            return Err(refuse(
                format!("{place}.name"),
                format!("{:?} appears twice", port.name),
            ));
        }
        if !numbers.insert(port.port) {
            return Err(refuse(
                format!("{place}.port"),
                format!("{} appears twice", port.port),
            ));
        }
    }
    for (index, endpoint) in service.endpoints.iter().enumerate() {
        let place = format!("{place}.endpoints[{index}]");
        let id = SpiffeId::parse(&endpoint.identity)
            .map_err(|why| refuse(format!("{place}.identity"), why.to_string()))?;
        if id.trust_domain() != domain {
            return Err(refuse(
                format!("{place}.identity"),
                "is in another trust domain",
            ));
        }
        if endpoint.ports.values().any(|port| *port == 0) {
            return Err(refuse(format!("{place}.ports"), "0 is no port"));
        }
    }
    let total: u64 = service.backends.iter().map(|b| u64::from(b.weight)).sum();
    if !service.backends.is_empty() && total == 0 {
        return Err(refuse(
            format!("{place}.backends"),
            "every weight is 0: nobody would answer",
        ));
    }
    Ok(())
}

fn check_route(route: &Route, place: &str) -> Result<(), SnapshotError> {
    if !route.path_prefix.is_empty() && !route.path_prefix.starts_with('/') {
        return Err(refuse(format!("{place}.path_prefix"), "must start with /"));
    }
    if route.service.is_empty() {
        return Err(refuse(format!("{place}.service"), "must not be empty"));
    }
    for host in &route.hosts {
        let label = host.strip_prefix("*.").unwrap_or(host);
        if host != "*" && (label.is_empty() || label.contains(['*', '/', ' ', ':'])) {
            return Err(refuse(
                format!("{place}.hosts"),
                format!("{host:?} is not a host, *.SUFFIX or *"),
            ));
        }
    }
    if route
        .retries
        .as_ref()
        .is_some_and(|retries| retries.attempts > 10)
    {
        return Err(refuse(format!("{place}.retries.attempts"), "more than 10"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The example of the reference page.
    pub(crate) fn example() -> serde_json::Value {
        serde_json::json!({
            "version": 42, "trust_domain": "cluster.local",
            "services": [{"namespace": "default", "name": "payment", "cluster_ip": "10.96.0.12",
                "load_balancer": "round_robin",
                "ports": [{"name": "http", "port": 80, "protocol": "http"}],
                "endpoints": [{"ip": "10.244.0.5", "pod": "default/payment-7f-x",
                    "identity": "spiffe://cluster.local/ns/default/sa/default",
                    "ports": {"http": 8080}}]}],
            "routes": [{"namespace": "default", "name": "payment", "hosts": ["*"],
                "path_prefix": "/payment", "strip_prefix": true, "service": "payment", "port": 80,
                "timeout_ms": 15000, "retries": {"attempts": 2, "per_try_timeout_ms": 0,
                    "on": ["connect-failure", "reset", "unavailable"]},
                "load_balancer": "least_request"}]})
    }

    fn refused(change: impl FnOnce(&mut serde_json::Value)) -> SnapshotError {
        let mut value = example();
        change(&mut value);
        Snapshot::parse(value.to_string().as_bytes(), "cluster.local").unwrap_err()
    }

    #[test]
    fn the_documented_snapshot_is_accepted() {
        let snapshot = Snapshot::parse(example().to_string().as_bytes(), "cluster.local").unwrap();
        assert_eq!(snapshot.version, 42);
        assert_eq!(
            snapshot.routes[0].load_balancer,
            Some(LoadBalancer::LeastRequest)
        );
    }

    #[test]
    fn a_refusal_names_the_place() {
        assert_eq!(refused(|v| v["version"] = "x".into()).place, "version");
        assert_eq!(
            refused(|v| v["trust_domain"] = "x".into()).place,
            "trust_domain"
        );
        let place = refused(|v| v["services"][0]["endpoints"][0]["ip"] = "10.0.0".into()).place;
        assert_eq!(place, "services[0].endpoints[0].ip");
        let place = refused(|v| v["services"][0]["cluster_ip"] = "x".into()).place;
        assert_eq!(place, "services[0].cluster_ip");
        let place = refused(|v| v["routes"][0]["path_prefix"] = "x".into()).place;
        assert_eq!(place, "routes[0].path_prefix");
        let none = refused(|v| {
            v["services"][0]["backends"] = serde_json::json!([{"service": "payment", "weight": 0}]);
        });
        assert_eq!(none.place, "services[0].backends");
        let twice = refused(|v| {
            let copy = v["services"][0].clone();
            v["services"].as_array_mut().unwrap().push(copy);
        });
        assert!(
            twice.reason.contains("default/payment appears twice"),
            "{twice}"
        );
    }

    #[test]
    fn cut_off_and_trailing_text_are_refused() {
        let text = example().to_string();
        assert!(Snapshot::parse(&text.as_bytes()[..text.len() - 1], "cluster.local").is_err());
        assert!(Snapshot::parse(format!("{text}x").as_bytes(), "cluster.local").is_err());
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let mut value = example();
        value["services"][0]["later"] = 1.into();
        assert!(Snapshot::parse(value.to_string().as_bytes(), "cluster.local").is_ok());
    }
}
