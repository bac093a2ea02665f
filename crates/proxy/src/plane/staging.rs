//! The making of what a new set needs: everything that can fail, before anything changes.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use cloudwright_config::{
    Cluster as ClusterConfig, ConfigError, Discovery, Listener, Resources, listener::Protocol,
};
use cloudwright_guard::{Authenticator, Bucket, Limiter};

use super::{
    served::Served,
    state::{Change, Inner},
};
use crate::{
    credentials::{ClientTls, Material, ServerTls, server::Offers},
    flow::grpc::Grpc,
    routing::{Table, rule::Resolver},
    telemetry::Series,
    upstream::Cluster,
};

type Materials = HashMap<Arc<str>, Arc<Material>>;

type Listening = (Arc<Listener>, Option<Arc<ServerTls>>, Option<Arc<Grpc>>);

type Configured = (Arc<Cluster>, Arc<ClusterConfig>, Option<Arc<ClientTls>>);

/// What was made for a new set and is not in force yet.
pub(super) struct Staged {
    materials: Materials,
    tables: HashMap<Arc<str>, Arc<Table>>,
    clusters: HashMap<Arc<str>, Arc<Cluster>>,
    configured: Vec<Configured>,
    listeners: Vec<Listening>,
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

    fn authenticator(&mut self, made: &Arc<Authenticator>) {
        let mut all = self
            .old
            .authenticators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(made));
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

impl Staged {
    pub(super) fn make(new: &Resources, old: &Inner, again: bool) -> Result<Self, ConfigError> {
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
            let table = match old.tables.get(name).filter(|_| same) {
                Some(table) => Arc::clone(table),
                None => {
                    let mut names = Names {
                        clusters: &mut self.clusters,
                        old,
                    };
                    Arc::new(Table::new(config, &mut names)?)
                }
            };
            self.tables.insert(Arc::clone(name), table);
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
            let grpc = Grpc::new(&config.grpc, name)?;
            self.listeners.push((Arc::clone(config), tls, grpc));
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

    pub(super) fn commit(mut self, new: Resources, inner: &mut Inner, now_ms: u64) -> Change {
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
        inner.services = services(&new, &inner.clusters);
        inner.tables = self.tables;
        inner.materials = self.materials;
        inner.resources = new;
        change.clusters = fresh;
        change
    }

    /// Endpoints of clusters that changed, or whose assignment did.
    fn endpoints(&self, new: &Resources, inner: &Inner, fresh: &[Arc<Cluster>], now_ms: u64) {
        let made: HashSet<&str> = fresh.iter().map(|one| &*one.name).collect();
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
                    && !made.contains(&**name)
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
            found.cloned().unwrap_or_default()
        };
        for (config, tls, grpc) in self.listeners.drain(..) {
            let cluster = config
                .cluster
                .as_ref()
                .and_then(|name| inner.clusters.get(name));
            let same_socket = |old: &Listener| old.address == config.address;
            match inner.listeners.get(&config.name) {
                Some(served) if same_socket(&served.config.load()) => {
                    served.table.store(table(&config));
                    served.tls.store(tls);
                    served.grpc.store(grpc);
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
                        grpc: ArcSwapOption::new(grpc),
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

fn services(
    new: &Resources,
    clusters: &HashMap<Arc<str>, Arc<Cluster>>,
) -> HashMap<Arc<str>, Vec<Arc<Cluster>>> {
    let mut all: HashMap<Arc<str>, Vec<Arc<Cluster>>> = HashMap::new();
    for (name, config) in &new.clusters {
        if let (Discovery::Eds { service }, Some(cluster)) = (&config.discovery, clusters.get(name))
        {
            let service = if service.is_empty() { name } else { service };
            all.entry(Arc::clone(service))
                .or_default()
                .push(Arc::clone(cluster));
        }
    }
    all
}
