//! From what is known to what is used: resources that wait for others are left out, or stay as they
//! were before.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use cloudwright_config::{Action, Cluster, Discovery, Listener, Resources, RouteTable, Secret};

use super::Engine;
use crate::{
    kind::Kind,
    translate::{ClusterParts, ListenerParts, Resource, TableParts},
};

/// What is used, and what it was made of.
#[derive(Debug, Clone, Default)]
pub struct Active {
    pub resources: Arc<Resources>,
    /// Tables in use, with the clusters that they name.
    pub tables: BTreeMap<Arc<str>, Arc<TableParts>>,
    /// Clusters that routes name and that are not there (yet): they have no endpoints, so that
    /// requests are answered 503.
    pub placeholders: BTreeSet<Arc<str>>,
    /// Since when a listener or cluster waits for something.
    pub waiting: BTreeMap<(Kind, Arc<str>), Instant>,
}

struct Assembly<'a> {
    engine: &'a Engine,
    now: Instant,
    out: Resources,
    tables: BTreeMap<Arc<str>, Arc<TableParts>>,
    waiting: BTreeMap<(Kind, Arc<str>), Instant>,
}

/// Puts all together.
pub fn whole(engine: &Engine, now: Instant) -> Active {
    let mut work = Assembly {
        engine,
        now,
        out: Resources::default(),
        tables: BTreeMap::new(),
        waiting: BTreeMap::new(),
    };
    for (name, entry) in &engine.store(Kind::Cluster).entries {
        if let Resource::Cluster(parts) = &entry.value {
            work.cluster(name, parts);
        }
    }
    for (name, entry) in &engine.store(Kind::Listener).entries {
        if let Resource::Listener(parts) = &entry.value {
            work.listener(name, parts);
        }
    }
    let placeholders = work.placeholders();
    Active {
        resources: Arc::new(work.out),
        tables: work.tables,
        placeholders,
        waiting: work.waiting,
    }
}

/// The same with other endpoints for `names`, which were known before; `None` when more changes.
pub fn endpoints(engine: &Engine, names: &[Arc<str>]) -> Option<Active> {
    let before = &engine.active;
    let mut out = (*before.resources).clone();
    for name in names {
        let slot = out.assignments.get_mut(name)?;
        match engine
            .store(Kind::Endpoints)
            .entries
            .get(name)
            .map(|one| &one.value)
        {
            Some(Resource::Assignment(found)) => *slot = Arc::clone(found),
            _ => return None,
        }
    }
    Some(Active {
        resources: Arc::new(out),
        ..before.clone()
    })
}

impl Assembly<'_> {
    /// Whether `name` has waited long enough; begins to wait otherwise.
    fn patient(&mut self, kind: Kind, name: &Arc<str>) -> bool {
        let key = (kind, Arc::clone(name));
        let since = self
            .engine
            .active
            .waiting
            .get(&key)
            .copied()
            .unwrap_or(self.now);
        self.waiting.insert(key, since);
        self.now.duration_since(since) >= self.engine.warming_timeout
    }

    fn before(&self) -> &Resources {
        &self.engine.active.resources
    }

    fn known_secret(&self, name: &str) -> Option<&Arc<Secret>> {
        match &self.engine.store(Kind::Secret).entries.get(name)?.value {
            Resource::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// Finds the secrets of a resource: its own, discovered ones, and at last those of before.
    fn secrets<'n>(
        &self,
        names: impl Iterator<Item = (&'n Arc<str>, bool)>,
        inline: &[Arc<Secret>],
        old: bool,
    ) -> Option<Vec<Arc<Secret>>> {
        names
            .map(|(name, trust)| {
                let fits = |secret: &&Arc<Secret>| {
                    if trust {
                        secret.trust.is_some()
                    } else {
                        secret.certificate.is_some()
                    }
                };
                inline
                    .iter()
                    .find(|secret| secret.name == *name)
                    .or_else(|| self.known_secret(name).filter(fits))
                    .or_else(|| {
                        let before = self.before().secrets.get(name);
                        before.filter(|_| old).filter(fits)
                    })
                    .cloned()
            })
            .collect()
    }

    fn keep_secrets(&mut self, secrets: Vec<Arc<Secret>>) {
        for secret in secrets {
            self.out.secrets.insert(Arc::clone(&secret.name), secret);
        }
    }

    fn assignment(&mut self, name: &Arc<str>) {
        let known = self.engine.store(Kind::Endpoints);
        let found = match known.entries.get(name).map(|one| &one.value) {
            Some(Resource::Assignment(found)) => Some(Arc::clone(found)),
            _ if known.absent.contains(name) => None,
            _ => self.before().assignments.get(name).cloned(),
        };
        if let Some(found) = found {
            self.out.assignments.insert(Arc::clone(name), found);
        }
    }

    fn cluster(&mut self, name: &Arc<str>, parts: &ClusterParts) {
        let known = self.engine.store(Kind::Endpoints);
        let resolved = parts.endpoints.as_ref().is_none_or(|service| {
            known.entries.contains_key(service) || known.absent.contains(service)
        });
        let secrets = self.secrets(
            cluster_secrets(&parts.cluster),
            &parts.credentials.inline,
            false,
        );
        // Endpoints may fail to come; without its secrets a cluster is never used.
        let chosen = match secrets {
            Some(secrets) if resolved || self.patient(Kind::Cluster, name) => {
                Some((Arc::clone(&parts.cluster), secrets))
            }
            other => {
                if other.is_none() {
                    self.patient(Kind::Cluster, name);
                }
                self.previous_cluster(name)
            }
        };
        if let Some((cluster, secrets)) = chosen {
            self.keep_secrets(secrets);
            if let Discovery::Eds { service } = &cluster.discovery {
                self.assignment(if service.is_empty() { name } else { service });
            }
            self.out.clusters.insert(Arc::clone(name), cluster);
        }
    }

    fn previous_cluster(&self, name: &Arc<str>) -> Option<(Arc<Cluster>, Vec<Arc<Secret>>)> {
        if self.engine.active.placeholders.contains(name) {
            return None;
        }
        let before = self.before().clusters.get(name)?;
        let secrets = self.secrets(cluster_secrets(before), &[], true)?;
        Some((Arc::clone(before), secrets))
    }

    fn table(&self, parts: &ListenerParts) -> Option<Arc<TableParts>> {
        if let Some(inline) = &parts.inline_table {
            return Some(Arc::clone(inline));
        }
        let name = parts.routes.as_ref()?;
        match &self.engine.store(Kind::Routes).entries.get(name)?.value {
            Resource::Routes(table) => Some(Arc::clone(table)),
            _ => None,
        }
    }

    /// Whether every cluster of a new listener is there, or known not to be.
    fn reachable(&self, table: Option<&TableParts>, cluster: Option<&Arc<str>>) -> bool {
        let known = self.engine.store(Kind::Cluster);
        let ready = |name: &Arc<str>| {
            self.out.clusters.contains_key(name)
                || (known.answered && !known.entries.contains_key(name))
        };
        table.is_none_or(|table| table.clusters.iter().all(ready)) && cluster.is_none_or(ready)
    }

    fn listener(&mut self, name: &Arc<str>, parts: &ListenerParts) {
        let table = self.table(parts);
        let secrets = self.secrets(
            listener_secrets(&parts.listener),
            &parts.credentials.inline,
            false,
        );
        let complete = parts.listener.routes.is_some() == table.is_some();
        let chosen = match secrets {
            Some(secrets) if complete => {
                let served = self.before().listeners.contains_key(name);
                let ready = served
                    || self.reachable(table.as_deref(), parts.cluster.as_ref())
                    || self.patient(Kind::Listener, name);
                ready.then(|| (Arc::clone(&parts.listener), table, secrets, parts.upgrades))
            }
            _ => {
                self.patient(Kind::Listener, name);
                self.previous_listener(name)
            }
        };
        let Some((listener, table, secrets, upgrades)) = chosen else {
            return;
        };
        self.keep_secrets(secrets);
        match (&listener.routes, table) {
            (Some(_), Some(table)) if upgrades => {
                self.with_upgrades(name, listener, &table);
            }
            (routes, table) => {
                if let (Some(routes), Some(table)) = (routes, table) {
                    self.use_table(Arc::clone(routes), table);
                }
                self.out.listeners.insert(Arc::clone(name), listener);
            }
        }
    }

    fn use_table(&mut self, name: Arc<str>, table: Arc<TableParts>) {
        self.out
            .routes
            .insert(Arc::clone(&name), Arc::clone(&table.table));
        self.tables.insert(name, table);
    }

    /// A table of its own for a listener that allows upgrades on every route.
    fn with_upgrades(&mut self, name: &Arc<str>, listener: Arc<Listener>, table: &Arc<TableParts>) {
        let own: Arc<str> = format!("{}/upgrades", table.table.name).into();
        let old = self.engine.active.tables.get(&own);
        let table = match old {
            Some(old)
                if old
                    .source
                    .as_ref()
                    .is_some_and(|one| Arc::ptr_eq(one, &table.table)) =>
            {
                Arc::clone(old)
            }
            _ => Arc::new(upgraded(&own, table)),
        };
        let same = |before: &&Arc<Listener>| {
            before.routes.as_ref() == Some(&own) && same_but_routes(before, &listener)
        };
        let listener = match self.before().listeners.get(name).filter(same) {
            Some(before) => Arc::clone(before),
            None => Arc::new(Listener {
                routes: Some(Arc::clone(&own)),
                ..(*listener).clone()
            }),
        };
        self.use_table(own, table);
        self.out.listeners.insert(Arc::clone(name), listener);
    }

    fn previous_listener(&self, name: &Arc<str>) -> Option<Previous> {
        let before = self.before().listeners.get(name)?;
        let table = match &before.routes {
            Some(routes) => Some(Arc::clone(self.engine.active.tables.get(routes)?)),
            None => None,
        };
        let secrets = self.secrets(listener_secrets(before), &[], true)?;
        Some((Arc::clone(before), table, secrets, false))
    }

    /// Stands in for the clusters that are missing.
    fn placeholders(&mut self) -> BTreeSet<Arc<str>> {
        let mut missing = BTreeSet::new();
        let tcp = self
            .out
            .listeners
            .values()
            .filter_map(|one| one.cluster.as_ref());
        for name in self
            .tables
            .values()
            .flat_map(|table| &table.clusters)
            .chain(tcp)
        {
            if !self.out.clusters.contains_key(name) {
                missing.insert(Arc::clone(name));
            }
        }
        for name in &missing {
            let before = self.engine.active.resources.clusters.get(name);
            let old = before.filter(|_| self.engine.active.placeholders.contains(name));
            let cluster = old
                .cloned()
                .unwrap_or_else(|| Arc::new(Cluster::named(Arc::clone(name))));
            self.out.clusters.insert(Arc::clone(name), cluster);
        }
        missing
    }
}

/// Listener, table, secrets, and whether upgrades are still to be put into the table.
type Previous = (
    Arc<Listener>,
    Option<Arc<TableParts>>,
    Vec<Arc<Secret>>,
    bool,
);

fn same_but_routes(one: &Listener, other: &Listener) -> bool {
    let plain = |listener: &Listener| Listener {
        routes: None,
        ..listener.clone()
    };
    plain(one) == plain(other)
}

fn upgraded(name: &Arc<str>, parts: &TableParts) -> TableParts {
    let mut table = RouteTable::clone(&parts.table);
    table.name = Arc::clone(name);
    for host in &mut table.virtual_hosts {
        for route in &mut host.routes {
            if let Action::Forward(forward) = &mut Arc::make_mut(route).action {
                forward.upgrades = true;
            }
        }
    }
    TableParts {
        table: Arc::new(table),
        clusters: parts.clusters.clone(),
        source: Some(Arc::clone(&parts.table)),
    }
}

/// The secrets that a cluster names; `true`: with trust.
fn cluster_secrets(cluster: &Cluster) -> impl Iterator<Item = (&Arc<str>, bool)> {
    let tls = cluster.tls.as_ref();
    let own = tls
        .and_then(|tls| tls.certificate.as_ref())
        .map(|name| (name, false));
    let trust = tls
        .and_then(|tls| tls.trust.as_ref())
        .map(|name| (name, true));
    own.into_iter().chain(trust)
}

/// The secrets that a listener names; `true`: with trust.
fn listener_secrets(listener: &Listener) -> impl Iterator<Item = (&Arc<str>, bool)> {
    let tls = listener.tls.as_ref();
    let own = tls.map_or(&[][..], |tls| &tls.certificates[..]).iter();
    let trust = tls.and_then(|tls| tls.client_trust.as_ref());
    own.map(|name| (name, false))
        .chain(trust.map(|name| (name, true)))
}
