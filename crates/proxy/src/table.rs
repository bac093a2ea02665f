//! The snapshot made ready for use: lookups by address, name and route; swapped as a whole.
//!
//! Endpoints live on from table to table with their connections; those that are gone are retired.
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    balance,
    endpoint::Endpoint,
    router::Router,
    snapshot::{self, LoadBalancer, Protocol, RetryOn, Snapshot},
};

/// One port of a Service with its endpoints.
pub struct Cluster {
    /// `namespace/name:port`.
    pub label: Arc<str>,
    pub protocol: Protocol,
    balancer: LoadBalancer,
    pub endpoints: Vec<Arc<Endpoint>>,
    turn: AtomicUsize,
    /// Set once the whole table is known. Weak, as a Service may name itself.
    split: OnceLock<Vec<(u32, Weak<Cluster>)>>,
    /// Whose requests it takes a share of: who answers when none of its endpoints can.
    relief: OnceLock<Weak<Cluster>>,
}

impl Cluster {
    /// Who answers the next request: itself, or one of its weighted backends.
    ///
    /// A backend without endpoints is left out: a share is a wish, an answer is a promise.
    #[must_use]
    pub fn choose(self: &Arc<Self>) -> Arc<Self> {
        match self.split.get() {
            None => Arc::clone(self),
            Some(split) => draw(split, fastrand::u64(..)).unwrap_or_else(|| Arc::clone(self)),
        }
    }

    /// Who may answer in its place: the one that it takes a share of, if that has endpoints.
    #[must_use]
    pub fn relief(&self) -> Option<Arc<Self>> {
        let other = self.relief.get()?.upgrade()?;
        (!other.endpoints.is_empty()).then_some(other)
    }

    /// The next endpoint, by preference one that is not in `tried`.
    pub fn pick(
        &self,
        tried: &[usize],
        balancer: Option<LoadBalancer>,
        now_ms: u64,
    ) -> Option<(usize, &Arc<Endpoint>)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let policy = balancer.unwrap_or(self.balancer);
        let random = fastrand::u64(..);
        let index = balance::pick(&self.endpoints, tried, policy, turn, random, now_ms)?;
        self.endpoints.get(index).map(|endpoint| (index, endpoint))
    }
}

/// The backend that `random` falls on, by weight among those that have endpoints.
fn draw(split: &[(u32, Weak<Cluster>)], random: u64) -> Option<Arc<Cluster>> {
    let alive = || {
        split
            .iter()
            .filter_map(|(weight, cluster)| cluster.upgrade().map(|it| (u64::from(*weight), it)))
            .filter(|(weight, cluster)| *weight > 0 && !cluster.endpoints.is_empty())
    };
    let total: u64 = alive().map(|(weight, _)| weight).sum();
    let mut point = random.checked_rem(total)?;
    for (weight, cluster) in alive() {
        if point < weight {
            return Some(cluster);
        }
        point -= weight;
    }
    None
}

/// When and how often a request is tried again.
#[derive(Debug, Clone)]
pub struct Policy {
    pub timeout: Option<Duration>,
    pub per_try: Option<Duration>,
    pub attempts: u32,
    pub on_reset: bool,
    pub on_unavailable: bool,
    pub balancer: Option<LoadBalancer>,
}

impl Default for Policy {
    /// What the mesh promises without a route: a request nobody has seen is tried elsewhere.
    fn default() -> Self {
        Self {
            timeout: None,
            per_try: None,
            attempts: 2,
            on_reset: false,
            on_unavailable: false,
            balancer: None,
        }
    }
}

/// Where a route leads; `cluster` is `None` when its Service does not exist.
pub struct Route {
    pub label: Arc<str>,
    pub cluster: Option<Arc<Cluster>>,
    pub strip: bool,
    pub policy: Policy,
}

type Ports = HashMap<u16, Arc<Cluster>>;

/// Everything a request needs to find its way.
#[derive(Default)]
pub struct Table {
    pub version: u64,
    pub router: Router<Arc<Route>>,
    pub routes: usize,
    by_address: HashMap<SocketAddrV4, Arc<Cluster>>,
    by_name: HashMap<String, HashMap<String, (Ports, u16)>>,
    names: HashMap<String, HashMap<String, Vec<Ipv4Addr>>>,
    /// Protocols of the own pod's ports.
    local: HashMap<u16, Protocol>,
    pub endpoints: HashMap<(SocketAddrV4, Arc<str>), Arc<Endpoint>>,
}

fn millis(value: u64) -> Option<Duration> {
    (value > 0).then(|| Duration::from_millis(value))
}

fn policy(route: &snapshot::Route) -> Policy {
    let mut policy = Policy {
        timeout: millis(route.timeout_ms),
        balancer: route.load_balancer,
        ..Policy::default()
    };
    if let Some(retries) = &route.retries {
        policy.attempts = retries.attempts;
        policy.per_try = millis(retries.per_try_timeout_ms);
        policy.on_reset = retries.on.contains(&RetryOn::Reset);
        policy.on_unavailable = retries.on.contains(&RetryOn::Unavailable);
    }
    policy
}

impl Table {
    /// Builds the table of `snapshot`, taking over what `old` has in common with it.
    #[must_use]
    pub fn build(snapshot: &Snapshot, old: &Self, own: Option<Ipv4Addr>) -> Self {
        let mut table = Self {
            version: snapshot.version,
            ..Self::default()
        };
        for service in &snapshot.services {
            table.add_service(service, old, own);
        }
        for service in &snapshot.services {
            table.split(service);
        }
        for route in &snapshot.routes {
            let label = format!("{}/{}:{}", route.namespace, route.service, route.port);
            let target = Arc::new(Route {
                label: label.into(),
                cluster: table
                    .port(&route.namespace, &route.service, route.port)
                    .cloned(),
                strip: route.strip_prefix,
                policy: policy(route),
            });
            table.routes += 1;
            let every = [String::from("*")];
            let hosts = if route.hosts.is_empty() {
                every.as_slice()
            } else {
                route.hosts.as_slice()
            };
            for host in hosts {
                let target = Arc::clone(&target);
                if route.exact {
                    table.router.add_exact(host, &route.path_prefix, target);
                } else {
                    table.router.add(host, &route.path_prefix, target);
                }
            }
        }
        table
    }

    /// Retires the endpoints of `old` that this table no longer has.
    pub fn retire_missing(&self, old: &Self) {
        for (key, endpoint) in &old.endpoints {
            if !self.endpoints.contains_key(key) {
                endpoint.retire();
            }
        }
    }

    fn add_service(&mut self, service: &snapshot::Service, old: &Self, own: Option<Ipv4Addr>) {
        let address = service.address().ok().flatten();
        let mut ports = Ports::new();
        for port in &service.ports {
            let cluster = Arc::new(self.cluster(service, port, old, own));
            if let Some(address) = address {
                self.by_address
                    .insert(SocketAddrV4::new(address, port.port), Arc::clone(&cluster));
            }
            ports.insert(port.port, cluster);
        }
        let addresses = match address {
            Some(address) => vec![address],
            None => service
                .endpoints
                .iter()
                .map(|endpoint| endpoint.ip)
                .collect(),
        };
        let first = service.ports.first().map_or(80, |port| port.port);
        self.names
            .entry(service.namespace.clone())
            .or_default()
            .insert(service.name.clone(), addresses);
        self.by_name
            .entry(service.namespace.clone())
            .or_default()
            .insert(service.name.clone(), (ports, first));
    }

    /// Lets every port of `service` know the same port of its backends.
    fn split(&self, service: &snapshot::Service) {
        if service.backends.is_empty() {
            return;
        }
        for port in &service.ports {
            let Some(cluster) = self.port(&service.namespace, &service.name, port.port) else {
                continue;
            };
            let found = service.backends.iter().filter_map(|backend| {
                let target = self.port(&service.namespace, &backend.service, port.port)?;
                if !Arc::ptr_eq(target, cluster) {
                    target.relief.get_or_init(|| Arc::downgrade(cluster));
                }
                Some((backend.weight, Arc::downgrade(target)))
            });
            cluster.split.get_or_init(|| found.collect());
        }
    }

    fn cluster(
        &mut self,
        service: &snapshot::Service,
        port: &snapshot::ServicePort,
        old: &Self,
        own: Option<Ipv4Addr>,
    ) -> Cluster {
        let label: Arc<str> =
            format!("{}/{}:{}", service.namespace, service.name, port.port).into();
        let mut endpoints = Vec::new();
        for entry in &service.endpoints {
            let Some(target) = entry.ports.get(&port.name) else {
                continue;
            };
            if own == Some(entry.ip) {
                self.local.insert(*target, port.protocol);
            }
            let address = SocketAddrV4::new(entry.ip, *target);
            let endpoint = self.endpoint(address, entry, old);
            let direct = Cluster {
                label: Arc::clone(&label),
                protocol: port.protocol,
                balancer: service.load_balancer,
                endpoints: vec![Arc::clone(&endpoint)],
                turn: AtomicUsize::new(0),
                split: OnceLock::new(),
                relief: OnceLock::new(),
            };
            self.by_address
                .entry(address)
                .or_insert_with(|| Arc::new(direct));
            endpoints.push(endpoint);
        }
        let turn = old
            .port(&service.namespace, &service.name, port.port)
            .map_or(0, |cluster| cluster.turn.load(Ordering::Relaxed));
        Cluster {
            label,
            protocol: port.protocol,
            balancer: service.load_balancer,
            endpoints,
            turn: AtomicUsize::new(turn),
            split: OnceLock::new(),
            relief: OnceLock::new(),
        }
    }

    fn endpoint(
        &mut self,
        address: SocketAddrV4,
        entry: &snapshot::ServiceEndpoint,
        old: &Self,
    ) -> Arc<Endpoint> {
        let key = (address, Arc::from(entry.identity.as_str()));
        let known = self
            .endpoints
            .get(&key)
            .or_else(|| old.endpoints.get(&key))
            .cloned();
        let endpoint = known.unwrap_or_else(|| Arc::new(Endpoint::new(address, &entry.identity)));
        self.endpoints.insert(key, Arc::clone(&endpoint));
        endpoint
    }

    fn port(&self, namespace: &str, name: &str, port: u16) -> Option<&Arc<Cluster>> {
        self.by_name.get(namespace)?.get(name)?.0.get(&port)
    }

    /// The Service or pod behind an original destination.
    #[must_use]
    pub fn by_address(&self, address: SocketAddrV4) -> Option<&Arc<Cluster>> {
        self.by_address.get(&address)
    }

    /// The Service that a `Host` names: `svc[.ns[.svc[.cluster.local]]][:port]`.
    ///
    /// Without a port: 80 when the Service has it, else its first one.
    #[must_use]
    pub fn by_host(&self, host: &str, namespace: &str) -> Option<&Arc<Cluster>> {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse::<u16>().ok()?)),
            None => (host, None),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_suffix(".cluster.local").unwrap_or(&name);
        let name = name.strip_suffix(".svc").unwrap_or(name);
        let (service, namespace) = name.split_once('.').unwrap_or((name, namespace));
        let (ports, first) = self.by_name.get(namespace)?.get(service)?;
        match port {
            Some(port) => ports.get(&port),
            None => ports.get(&80).or_else(|| ports.get(first)),
        }
    }

    /// The addresses of a Service; `None` when there is no such Service.
    #[must_use]
    pub fn addresses(&self, namespace: &str, name: &str) -> Option<&[Ipv4Addr]> {
        self.names.get(namespace)?.get(name).map(Vec::as_slice)
    }

    /// What the application on a port of the own pod speaks, as far as the snapshot says.
    #[must_use]
    pub fn local_protocol(&self, port: u16) -> Option<Protocol> {
        self.local.get(&port).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        let text = crate::snapshot::tests::example().to_string();
        Snapshot::parse(text.as_bytes(), "cluster.local").unwrap()
    }

    #[test]
    fn found_by_address_name_and_host() {
        let table = Table::build(
            &example(),
            &Table::default(),
            Some(Ipv4Addr::new(10, 244, 0, 5)),
        );
        let vip = table.by_address("10.96.0.12:80".parse().unwrap()).unwrap();
        assert_eq!(&*vip.label, "default/payment:80");
        assert!(
            table
                .by_address("10.244.0.5:8080".parse().unwrap())
                .is_some()
        );
        assert!(table.by_address("10.96.0.12:81".parse().unwrap()).is_none());
        for host in [
            "payment",
            "payment.default",
            "PAYMENT.default.svc:80",
            "payment.default.svc.cluster.local.",
        ] {
            assert!(table.by_host(host, "default").is_some(), "{host}");
        }
        assert!(table.by_host("payment.other", "default").is_none());
        assert_eq!(table.local_protocol(8080), Some(Protocol::Http));
    }

    fn with_canary(weights: (u32, u32), canary_ip: Option<&str>) -> Table {
        let mut value = crate::snapshot::tests::example();
        let mut canary = value["services"][0].clone();
        canary["name"] = "payment-canary".into();
        canary["cluster_ip"] = "10.96.0.13".into();
        match canary_ip {
            Some(ip) => canary["endpoints"][0]["ip"] = ip.into(),
            None => canary["endpoints"] = serde_json::json!([]),
        }
        value["services"].as_array_mut().unwrap().push(canary);
        value["services"][0]["backends"] = serde_json::json!([
            {"service": "payment", "weight": weights.0},
            {"service": "payment-canary", "weight": weights.1},
            {"service": "gone", "weight": 50}]);
        let snapshot = Snapshot::parse(value.to_string().as_bytes(), "cluster.local").unwrap();
        Table::build(&snapshot, &Table::default(), None)
    }

    fn share(table: &Table) -> f64 {
        let payment = table.by_host("payment", "default").unwrap();
        let hits = (0..10_000)
            .filter(|_| &*payment.choose().label == "default/payment-canary:80")
            .count();
        hits as f64 / 10_000.0
    }

    #[test]
    fn requests_are_split_by_weight() {
        let share_of = |weights| share(&with_canary(weights, Some("10.244.0.6")));
        assert!((0.07..0.13).contains(&share_of((90, 10))));
        assert!((0.45..0.55).contains(&share_of((1, 1))));
        assert!(share_of((100, 0)) == 0.0);
        assert!(share_of((0, 100)) == 1.0);
    }

    #[test]
    fn a_backend_without_endpoints_gets_no_request() {
        assert!(share(&with_canary((90, 10), None)) == 0.0);
        // Even when it should get all of them.
        assert!(share(&with_canary((0, 100), None)) == 0.0);
    }

    #[test]
    fn who_gives_a_share_answers_when_the_taker_cannot() {
        let table = with_canary((50, 50), Some("10.244.0.6"));
        let canary = table.by_host("payment-canary", "default").unwrap();
        let relief = canary.relief().unwrap();
        assert_eq!(&*relief.label, "default/payment:80");
        assert!(relief.relief().is_none());
    }

    #[test]
    fn a_service_without_backends_is_itself() {
        let table = Table::build(&example(), &Table::default(), None);
        let payment = table.by_host("payment", "default").unwrap();
        assert!(Arc::ptr_eq(payment, &payment.choose()));
    }

    #[test]
    fn endpoints_live_on_and_missing_ones_are_retired() {
        let old = Table::build(&example(), &Table::default(), None);
        let new = Table::build(&example(), &old, None);
        let (one, two) = (old.endpoints.values().next(), new.endpoints.values().next());
        assert!(Arc::ptr_eq(one.unwrap(), two.unwrap()));
        let mut empty = example();
        empty.services[0].endpoints.clear();
        let after = Table::build(&empty, &new, None);
        after.retire_missing(&new);
        assert!(after.endpoints.is_empty());
        assert!(
            after
                .by_host("payment", "default")
                .unwrap()
                .pick(&[], None, 0)
                .is_none()
        );
    }
}
