//! What is in force, and how a new set takes its place: whole, or not at all.
//!
//! Everything that can fail (secrets, tables, TLS, sockets) is made first and put aside; then
//! pointers are swapped. Requests under way keep what they began with.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use cloudwright_config::{
    Cluster as ClusterConfig, ConfigError, Discovery, Listener, Resources, listener::Protocol,
};

use cloudwright_guard::{Bucket, Limiter, Pace, Take};

use crate::{
    credentials::{ClientTls, Material, ServerTls, server::Offers},
    routing::{Table, rule::Resolver},
    telemetry::{Registry, Series},
    upstream::Cluster,
};

/// A listener in force; the object stays while its routes and certificates change.
pub struct Served {
    pub config: ArcSwap<Listener>,
    pub table: ArcSwap<Table>,
    pub tls: ArcSwapOption<ServerTls>,
    pub cluster: ArcSwapOption<Cluster>,
    bucket: Bucket,
}

impl Served {
    /// Whether the listener takes one more request now; else nanoseconds until it may.
    ///
    /// # Errors
    /// The nanoseconds.
    pub fn admit(&self, now_ns: u64) -> Result<(), u64> {
        match self
            .bucket
            .take(&pace(self.config.load().limits.max_rate), 1, now_ns)
        {
            Take::Granted => Ok(()),
            Take::Wait(ns) => Err(ns),
        }
    }
}

/// A rate with a burst of a tenth of a second.
#[must_use]
pub fn pace(rate: f64) -> Pace {
    // A positive number, cut to what fits.
    Pace::new(rate, (rate / 10.0).clamp(1.0, 1e9) as u64)
}

#[derive(Default)]
struct Inner {
    resources: Resources,
    materials: HashMap<Arc<str>, Arc<Material>>,
    tables: HashMap<Arc<str>, Arc<Table>>,
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
    listeners: HashMap<Arc<str>, Arc<Served>>,
    series: Registry,
    limiters: Mutex<HashMap<Arc<str>, Arc<Limiter>>>,
}

/// What changed with a set.
#[derive(Default)]
pub struct Change {
    /// To be opened.
    pub opened: Vec<(Arc<str>, Arc<Served>)>,
    /// To be closed.
    pub closed: Vec<Arc<str>>,
    /// Clusters with new rules; what keeps them is to be started anew.
    pub clusters: Vec<Arc<Cluster>>,
    pub removed: Vec<Arc<str>>,
}

/// Everything that requests look at.
pub struct State {
    inner: Mutex<Inner>,
    started: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            started: Instant::now(),
        }
    }
}

type Materials = HashMap<Arc<str>, Arc<Material>>;

type Configured = (Arc<Cluster>, Arc<ClusterConfig>, Option<Arc<ClientTls>>);

/// What was made for a new set and is not in force yet.
struct Staged {
    materials: Materials,
    /// Tables, with whether they are new.
    tables: HashMap<Arc<str>, (Arc<Table>, bool)>,
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
    configured: Vec<Configured>,
    listeners: Vec<(Arc<Listener>, Option<Arc<ServerTls>>)>,
}

fn changed<T>(
    new: &BTreeMap<Arc<str>, Arc<T>>,
    old: &BTreeMap<Arc<str>, Arc<T>>,
    name: &str,
) -> bool {
    match (new.get(name), old.get(name)) {
        (Some(new), Some(old)) => !Arc::ptr_eq(new, old),
        (None, None) => false,
        _ => true,
    }
}

fn slot(
    clusters: &mut HashMap<Arc<str>, Arc<Cluster>>,
    old: &Inner,
    name: &Arc<str>,
) -> Arc<Cluster> {
    let known = || old.clusters.get(name).cloned();
    let made = || known().unwrap_or_else(|| Arc::new(Cluster::unknown(Arc::clone(name))));
    Arc::clone(clusters.entry(Arc::clone(name)).or_insert_with(made))
}

/// What names mean for the rules of a new set.
struct Names<'a> {
    clusters: &'a mut HashMap<Arc<str>, Arc<Cluster>>,
    old: &'a Inner,
}

impl Resolver for Names<'_> {
    fn cluster(&mut self, name: &Arc<str>) -> Arc<Cluster> {
        slot(self.clusters, self.old, name)
    }

    fn series(&mut self, label: &Arc<str>) -> Arc<Series> {
        self.old.series.get(label)
    }

    fn limiter(&mut self, label: &Arc<str>, made: Limiter) -> Arc<Limiter> {
        let mut all = self
            .old
            .limiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = match all.get(label) {
            Some(old) => made.continuing(old),
            None => made,
        };
        let made = Arc::new(made);
        all.insert(Arc::clone(label), Arc::clone(&made));
        made
    }
}

fn materials(new: &Resources, old: &Inner, again: bool) -> Result<Materials, ConfigError> {
    let mut all = Materials::new();
    for (name, secret) in &new.secrets {
        let known = old.materials.get(name);
        let same = !changed(&new.secrets, &old.resources.secrets, name);
        let material = match known {
            Some(known) if same && !again => Arc::clone(known),
            _ => {
                let fresh = Material::read(secret)?;
                match known {
                    Some(known) if known.same(&fresh) => Arc::clone(known),
                    _ => Arc::new(fresh),
                }
            }
        };
        all.insert(Arc::clone(name), material);
    }
    Ok(all)
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What is in force.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.lock().resources.clone()
    }

    /// All clusters by name.
    #[must_use]
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.lock().clusters.values().cloned().collect()
    }

    /// All listeners.
    #[must_use]
    pub fn listeners(&self) -> Vec<Arc<Served>> {
        self.lock().listeners.values().cloned().collect()
    }

    /// Puts `resources` in force; with `again`, files of secrets are read even if they are the same.
    ///
    /// # Errors
    /// The first reason why it cannot be; nothing has changed then.
    pub fn apply(&self, resources: Resources, again: bool) -> Result<Change, ConfigError> {
        let mut inner = self.lock();
        let resources = resources.sharing(&inner.resources);
        let staged = Staged::make(&resources, &inner, again)?;
        Ok(staged.commit(resources, &mut inner, self.now_ms()))
    }

    /// Adds the numbers of all routes in Prometheus' text format.
    pub fn render(&self, out: &mut String) {
        self.lock().series.render(out);
    }

    /// Takes over the endpoints of one cluster, as a resolver found them.
    pub fn discovered(&self, name: &str, endpoints: &[cloudwright_config::Endpoint]) {
        let cluster = self.lock().clusters.get(name).cloned();
        if let Some(cluster) = cluster {
            cluster.discover(endpoints, self.now_ms());
        }
    }
}

impl Staged {
    fn make(new: &Resources, old: &Inner, again: bool) -> Result<Self, ConfigError> {
        let mut staged = Self {
            materials: materials(new, old, again)?,
            tables: HashMap::new(),
            clusters: HashMap::new(),
            configured: Vec::new(),
            listeners: Vec::new(),
        };
        staged.tables(new, old)?;
        staged.clusters(new, old)?;
        staged.listeners(new, old)?;
        Ok(staged)
    }

    fn tables(&mut self, new: &Resources, old: &Inner) -> Result<(), ConfigError> {
        for (name, config) in &new.routes {
            let same = !changed(&new.routes, &old.resources.routes, name);
            let entry = match old.tables.get(name).filter(|_| same) {
                Some(table) => (Arc::clone(table), false),
                None => {
                    let mut names = Names {
                        clusters: &mut self.clusters,
                        old,
                    };
                    (Arc::new(Table::new(config, &mut names)?), true)
                }
            };
            self.tables.insert(Arc::clone(name), entry);
        }
        Ok(())
    }

    /// Whether a secret is another one than before.
    fn rotated(&self, old: &Inner, name: Option<&Arc<str>>) -> bool {
        name.is_some_and(
            |name| match (self.materials.get(name), old.materials.get(name)) {
                (Some(new), Some(old)) => !Arc::ptr_eq(new, old),
                (None, None) => false,
                _ => true,
            },
        )
    }

    fn material(&self, name: Option<&Arc<str>>) -> Option<&Arc<Material>> {
        name.and_then(|name| self.materials.get(name))
    }

    fn clusters(&mut self, new: &Resources, old: &Inner) -> Result<(), ConfigError> {
        for (name, config) in &new.clusters {
            let tls = config.tls.as_ref();
            let certificate = tls.and_then(|tls| tls.certificate.as_ref());
            let trust = tls.and_then(|tls| tls.trust.as_ref());
            let rotated = self.rotated(old, certificate) || self.rotated(old, trust);
            if !rotated && !changed(&new.clusters, &old.resources.clusters, name) {
                continue;
            }
            let made = tls
                .map(|tls| {
                    let certificate = self.material(certificate).map(AsRef::as_ref);
                    let trust = self.material(trust).map(AsRef::as_ref);
                    ClientTls::new(tls, certificate, trust).map_err(|mut why| {
                        why.field = format!("cluster {name:?}: {}", why.field);
                        why
                    })
                })
                .transpose()?
                .map(Arc::new);
            let cluster = slot(&mut self.clusters, old, name);
            self.configured.push((cluster, Arc::clone(config), made));
        }
        Ok(())
    }

    fn listeners(&mut self, new: &Resources, old: &Inner) -> Result<(), ConfigError> {
        for (name, config) in &new.listeners {
            let tls = match &config.tls {
                None => None,
                Some(tls) => {
                    let used = tls.certificates.iter().chain(&tls.client_trust);
                    let rotated = used.into_iter().any(|name| self.rotated(old, Some(name)));
                    let known = old.listeners.get(name).and_then(|it| it.tls.load_full());
                    let same = !changed(&new.listeners, &old.resources.listeners, name);
                    match known.filter(|_| same && !rotated) {
                        Some(known) => Some(known),
                        None => Some(Arc::new(self.server_tls(config, tls)?)),
                    }
                }
            };
            self.listeners.push((Arc::clone(config), tls));
        }
        Ok(())
    }

    fn server_tls(
        &self,
        listener: &Listener,
        tls: &cloudwright_config::listener::ListenerTls,
    ) -> Result<ServerTls, ConfigError> {
        let certificates = tls
            .certificates
            .iter()
            .filter_map(|name| self.materials.get(name).cloned())
            .collect();
        let offers = Offers {
            http1: matches!(listener.protocol, Protocol::Http | Protocol::Http1),
            http2: matches!(listener.protocol, Protocol::Http | Protocol::Http2),
        };
        let trust = self.material(tls.client_trust.as_ref()).map(AsRef::as_ref);
        ServerTls::new(tls, certificates, trust, offers).map_err(|mut why| {
            why.field = format!("listener {:?}: {}", listener.name, why.field);
            why
        })
    }

    fn commit(mut self, new: Resources, inner: &mut Inner, now_ms: u64) -> Change {
        let mut change = Change::default();
        let mut fresh: Vec<Arc<Cluster>> = Vec::new();
        for (cluster, config, tls) in self.configured.drain(..) {
            cluster.configure(config, tls);
            fresh.push(cluster);
        }
        inner.clusters.extend(self.clusters.drain());
        self.endpoints(&new, inner, &fresh, now_ms);
        let gone: Vec<Arc<str>> = inner
            .clusters
            .keys()
            .filter(|name| !new.clusters.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(cluster) = inner.clusters.remove(&name) {
                cluster.forget();
            }
            change.removed.push(name);
        }
        self.listen(&new, inner, &mut change);
        inner.tables = self
            .tables
            .into_iter()
            .map(|(name, (table, _))| (name, table))
            .collect();
        inner.materials = self.materials;
        inner.resources = new;
        change.clusters = fresh;
        change
    }

    /// Endpoints of clusters that changed, or whose assignment did.
    fn endpoints(&self, new: &Resources, inner: &Inner, fresh: &[Arc<Cluster>], now_ms: u64) {
        for cluster in fresh {
            if let Some(config) = new.clusters.get(&cluster.name)
                && !matches!(config.discovery, Discovery::Dns { .. })
            {
                cluster.discover(new.endpoints(config), now_ms);
            }
        }
        for (name, config) in &new.clusters {
            if let Discovery::Eds { service } = &config.discovery {
                let service = if service.is_empty() { name } else { service };
                let updated = changed(&new.assignments, &inner.resources.assignments, service);
                if updated
                    && let Some(cluster) = inner.clusters.get(name)
                    && !fresh.iter().any(|one| Arc::ptr_eq(one, cluster))
                {
                    cluster.discover(new.endpoints(config), now_ms);
                }
            }
        }
    }

    fn listen(&mut self, new: &Resources, inner: &mut Inner, change: &mut Change) {
        let table = |config: &Listener| {
            let found = config
                .routes
                .as_ref()
                .and_then(|name| self.tables.get(name));
            found
                .map(|(table, _)| Arc::clone(table))
                .unwrap_or_default()
        };
        for (config, tls) in self.listeners.drain(..) {
            let cluster = config
                .cluster
                .as_ref()
                .and_then(|name| inner.clusters.get(name));
            let same_socket = |old: &Listener| {
                old.address == config.address
                    && old.captured == config.captured
                    && old.protocol == config.protocol
            };
            match inner.listeners.get(&config.name) {
                Some(served) if same_socket(&served.config.load()) => {
                    served.table.store(table(&config));
                    served.tls.store(tls);
                    served.cluster.store(cluster.cloned());
                    served.config.store(config);
                }
                old => {
                    if old.is_some() {
                        change.closed.push(Arc::clone(&config.name));
                    }
                    let served = Arc::new(Served {
                        table: ArcSwap::new(table(&config)),
                        tls: ArcSwapOption::new(tls),
                        cluster: ArcSwapOption::new(cluster.cloned()),
                        config: ArcSwap::new(Arc::clone(&config)),
                        bucket: Bucket::default(),
                    });
                    inner
                        .listeners
                        .insert(Arc::clone(&config.name), Arc::clone(&served));
                    change.opened.push((Arc::clone(&config.name), served));
                }
            }
        }
        inner.listeners.retain(|name, _| {
            let stays = new.listeners.contains_key(name);
            if !stays {
                change.closed.push(Arc::clone(name));
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(state: &State, text: &str) -> Result<Change, String> {
        let resources = cloudwright_config::from_text(text, "t").map_err(|all| {
            all.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        })?;
        state.apply(resources, false).map_err(|why| why.to_string())
    }

    const ONE: &str = r#"
listeners: [{name: l, address: "127.0.0.1:0", routes: r}]
routes: [{name: r, virtual_hosts: [{domains: ["*"], routes: [{action: {forward: {cluster: c}}}]}]}]
clusters: [{name: c, endpoints: [{address: "127.0.0.1:1"}, {address: "127.0.0.1:2"}]}]
"#;

    fn cluster(state: &State) -> Arc<Cluster> {
        state
            .clusters()
            .into_iter()
            .find(|one| &*one.name == "c")
            .unwrap()
    }

    #[test]
    fn a_set_takes_the_place_of_the_last() {
        let state = State::default();
        let change = apply(&state, ONE).unwrap();
        assert_eq!((change.opened.len(), change.clusters.len()), (1, 1));
        let before = cluster(&state);
        let kept = Arc::clone(&before.endpoints()[0]);
        let change = apply(&state, &ONE.replace("127.0.0.1:2", "127.0.0.1:3")).unwrap();
        assert!(change.opened.is_empty() && change.closed.is_empty());
        let after = cluster(&state);
        assert!(Arc::ptr_eq(&before, &after));
        assert!(Arc::ptr_eq(&kept, &after.endpoints()[0]));
        assert_eq!(after.endpoints()[1].address.to_string(), "127.0.0.1:3");
        let change = apply(&state, "{}").unwrap();
        assert_eq!((change.closed.len(), change.removed.len()), (1, 1));
    }

    #[test]
    fn a_bad_set_changes_nothing() {
        let state = State::default();
        apply(&state, ONE).unwrap();
        let bad = ONE.replace(
            "cluster: c}}",
            "cluster: c}}, request_headers: {remove: [\"a b\"]}",
        );
        let why = apply(&state, &bad.replace("127.0.0.1:2", "127.0.0.1:3"))
            .err()
            .unwrap();
        assert!(why.contains("a b"), "{why}");
        assert_eq!(
            cluster(&state).endpoints()[1].address.to_string(),
            "127.0.0.1:2"
        );
    }

    #[test]
    fn endpoints_come_from_their_assignment() {
        let state = State::default();
        let eds = r#"
clusters: [{name: c, discovery: {eds: {service: s}}}]
assignments: [{name: s, endpoints: [{address: "127.0.0.1:1"}]}]
"#;
        apply(&state, eds).unwrap();
        assert_eq!(cluster(&state).counts(), (1, 1));
        let more = eds.replace(
            "[{address: \"127.0.0.1:1\"}]",
            "[{address: \"127.0.0.1:1\"}, {address: \"127.0.0.1:2\", health: draining}]",
        );
        let change = apply(&state, &more).unwrap();
        assert!(change.clusters.is_empty());
        assert_eq!(cluster(&state).counts(), (2, 1));
    }
}
