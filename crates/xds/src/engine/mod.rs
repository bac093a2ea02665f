//! The protocol as pure state: what came in, what is in force, what is to be sent.
//!
//! | module | concept |
//! | --- | --- |
//! | `store` | one type's resources, versions, nonces, subscriptions |
//! | `subscribe` | requests: subscriptions follow references; acknowledging and refusing |
//! | `receive` | one answer of the server: all of it or nothing |
//! | `validate` | whether a resource makes sense by itself |
//! | `assemble` | what is used: waiting resources are left out or stay as they were |
//! | `status` | what an operator sees |
//!
//! No socket and no clock: the time is given. Specification: Envoy's
//! [xDS protocol](https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol).
use std::{
    collections::BTreeMap,
    hash::RandomState,
    sync::Arc,
    time::{Duration, Instant},
};

use cloudwright_config::Resources;

mod assemble;
mod receive;
mod status;
mod store;
mod subscribe;
mod validate;

pub use status::{Status, TypeStatus};
pub use store::Rejection;

use self::{assemble::Active, store::Store};
use crate::{kind::Kind, message::Request, translate::Context, wire::WireError};

/// What the proxy is to use from now on.
#[derive(Debug, Clone)]
pub struct Update {
    /// All of it; parts that did not change are the same `Arc`s as in the update before.
    pub resources: Arc<Resources>,
    pub changed: Changed,
}

/// Names of what is new, different or gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    pub listeners: Vec<Arc<str>>,
    pub routes: Vec<Arc<str>>,
    pub clusters: Vec<Arc<str>>,
    pub assignments: Vec<Arc<str>>,
    pub secrets: Vec<Arc<str>>,
}

impl Changed {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn between(old: &Resources, new: &Resources) -> Self {
        Self {
            listeners: differing(&old.listeners, &new.listeners),
            routes: differing(&old.routes, &new.routes),
            clusters: differing(&old.clusters, &new.clusters),
            assignments: differing(&old.assignments, &new.assignments),
            secrets: differing(&old.secrets, &new.secrets),
        }
    }
}

fn differing<T>(
    old: &BTreeMap<Arc<str>, Arc<T>>,
    new: &BTreeMap<Arc<str>, Arc<T>>,
) -> Vec<Arc<str>> {
    let mut out = Vec::new();
    for (name, value) in new {
        if !old
            .get(name)
            .is_some_and(|before| Arc::ptr_eq(before, value))
        {
            out.push(Arc::clone(name));
        }
    }
    out.extend(old.keys().filter(|name| !new.contains_key(*name)).cloned());
    out
}

/// Takes an update, or says why not: the update is then refused and the one before stays.
pub trait Sink {
    /// # Errors
    /// Why the update cannot be used; it becomes the reason that the server is told.
    fn apply(&mut self, update: &Update) -> Result<(), String>;
}

impl<F: FnMut(&Update) -> Result<(), String>> Sink for F {
    fn apply(&mut self, update: &Update) -> Result<(), String> {
        self(update)
    }
}

/// How the protocol is spoken.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Delta instead of state of the world.
    pub delta: bool,
    /// Listeners to ask for; all when empty.
    pub listeners: Vec<Arc<str>>,
    /// Clusters to ask for; all when empty.
    pub clusters: Vec<Arc<str>>,
    /// After this time a cluster is used without endpoints, and a listener without its clusters.
    pub warming_timeout: Duration,
    /// The proxy's own zone.
    pub zone: Option<Arc<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delta: false,
            listeners: Vec::new(),
            clusters: Vec::new(),
            warming_timeout: Duration::from_secs(15),
            zone: None,
        }
    }
}

/// The state of the protocol.
#[derive(Debug)]
pub struct Engine {
    delta: bool,
    warming_timeout: Duration,
    stores: [Store; 5],
    active: Active,
    context: Context,
    hasher: RandomState,
    connected: bool,
    node_sent: bool,
    last_refusal: Option<String>,
    /// Any resource ever had a time to live.
    mortal: bool,
}

impl Engine {
    /// Nothing known, not connected.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let stores = Kind::ALL.map(|kind| match kind {
            Kind::Listener => Store::new(kind, &settings.listeners),
            Kind::Cluster => Store::new(kind, &settings.clusters),
            _ => Store::new(kind, &[]),
        });
        Self {
            delta: settings.delta,
            warming_timeout: settings.warming_timeout,
            stores,
            active: Active::default(),
            context: Context::of_zone(settings.zone.clone()),
            hasher: RandomState::new(),
            connected: false,
            node_sent: false,
            last_refusal: None,
            mortal: false,
        }
    }

    fn store(&self, kind: Kind) -> &Store {
        let [cluster, endpoints, listener, routes, secret] = &self.stores;
        match kind {
            Kind::Cluster => cluster,
            Kind::Endpoints => endpoints,
            Kind::Listener => listener,
            Kind::Routes => routes,
            Kind::Secret => secret,
        }
    }

    fn store_mut(&mut self, kind: Kind) -> &mut Store {
        let [cluster, endpoints, listener, routes, secret] = &mut self.stores;
        match kind {
            Kind::Cluster => cluster,
            Kind::Endpoints => endpoints,
            Kind::Listener => listener,
            Kind::Routes => routes,
            Kind::Secret => secret,
        }
    }

    /// What is in force.
    #[must_use]
    pub fn resources(&self) -> &Arc<Resources> {
        &self.active.resources
    }

    /// A stream is open: its first requests.
    pub fn connected(&mut self) -> Vec<Request> {
        self.disconnected();
        self.connected = true;
        self.subscriptions()
    }

    /// The stream is gone. What came by it stays in force.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.node_sent = false;
        for store in &mut self.stores {
            store.disconnected();
        }
    }

    /// An answer of the server.
    ///
    /// # Errors
    /// Bytes that are no answer: the stream should be given up.
    pub fn receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Vec<Request>, WireError> {
        self.answer(now, bytes, sink)
    }

    /// Time passed: resources whose time to live is over go, and what waited long enough is used.
    pub fn tick(&mut self, now: Instant, sink: &mut dyn Sink) -> Vec<Request> {
        for kind in Kind::ALL {
            let store = self.store_mut(kind);
            let over = |(name, entry): (&Arc<str>, &store::Entry)| {
                let gone = entry.expires.is_some_and(|end| end <= now);
                gone.then(|| (Arc::clone(name), None))
            };
            let gone: store::Changes = store.entries.iter().filter_map(over).collect();
            if kind == Kind::Endpoints {
                store
                    .absent
                    .extend(gone.iter().map(|(name, _)| Arc::clone(name)));
            }
            store.apply(gone);
        }
        let next = assemble::whole(self, now);
        let changed = Changed::between(&self.active.resources, &next.resources);
        if let Err(reason) = self.put(next, changed, sink) {
            self.last_refusal = Some(reason);
        }
        self.follow();
        self.subscriptions()
    }

    /// When `tick` is needed next, given that it was called at `now`.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let stores = self.stores.iter().filter(|_| self.mortal);
        let entries = stores.flat_map(|store| store.entries.values());
        let expiry = entries.filter_map(|entry| entry.expires);
        let warm = self
            .active
            .waiting
            .values()
            .map(|since| *since + self.warming_timeout);
        expiry.chain(warm.filter(|end| *end > now)).min()
    }

    /// Gives `next` to the proxy; it is in force unless the proxy refuses it.
    fn put(&mut self, next: Active, changed: Changed, sink: &mut dyn Sink) -> Result<(), String> {
        if changed.is_empty() {
            // The same parts in the same places: readers keep the set that they have.
            let resources = Arc::clone(&self.active.resources);
            self.active = Active { resources, ..next };
            return Ok(());
        }
        let update = Update {
            resources: Arc::clone(&next.resources),
            changed,
        };
        sink.apply(&update)?;
        self.active = next;
        Ok(())
    }
}
