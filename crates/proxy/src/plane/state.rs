//! What is in force, and how a new set takes its place: whole, or not at all.
//!
//! Everything that can fail (secrets, tables, TLS) is made first and put aside; then pointers are
//! swapped. Requests under way keep what they began with.
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use cloudwright_config::{ConfigError, Resources};
use cloudwright_guard::{Authenticator, Limiter};

use super::{served::Served, staging::Staged};
use crate::{credentials::Material, routing::Table, telemetry::Registry, upstream::Cluster};

#[derive(Default)]
pub(super) struct Inner {
    pub(super) resources: Resources,
    pub(super) materials: HashMap<Arc<str>, Arc<Material>>,
    pub(super) tables: HashMap<Arc<str>, Arc<Table>>,
    pub(super) clusters: HashMap<Arc<str>, Arc<Cluster>>,
    pub(super) listeners: HashMap<Arc<str>, Arc<Served>>,
    /// Clusters by the service name of their discovery.
    pub(super) services: HashMap<Arc<str>, Vec<Arc<Cluster>>>,
    pub(super) series: Registry,
    /// Those of the rules in force, which read files.
    pub(super) authenticators: Mutex<Vec<Weak<Authenticator>>>,
    pub(super) limiters: Mutex<HashMap<Arc<str>, Arc<Limiter>>>,
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

    /// Puts the assignments of `names` in force, and nothing else of `resources`: what a change
    /// of endpoints costs must not depend on how many clusters there are.
    pub fn assign(&self, resources: &Resources, names: &[Arc<str>]) {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        for name in names {
            let empty: &[_] = &[];
            let assignment = resources.assignments.get(name);
            let endpoints = assignment.map_or(empty, |found| found.endpoints.as_slice());
            for cluster in inner.services.get(name).into_iter().flatten() {
                cluster.discover(endpoints, now_ms);
            }
            match assignment {
                Some(found) => {
                    let found = Arc::clone(found);
                    inner.resources.assignments.insert(Arc::clone(name), found);
                }
                None => {
                    inner.resources.assignments.remove(name);
                }
            }
        }
    }

    /// A listener whose socket could not be opened: the next set tries again.
    pub fn unopened(&self, name: &str) {
        self.lock().listeners.remove(name);
    }

    fn authenticators(&self) -> Vec<Arc<Authenticator>> {
        let inner = self.lock();
        let all = inner
            .authenticators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Files of keys that guards read.
    #[must_use]
    pub fn guard_files(&self) -> Vec<PathBuf> {
        let all = self.authenticators();
        all.iter()
            .flat_map(|one| one.files())
            .map(PathBuf::from)
            .collect()
    }

    /// Reads the files of keys again; what cannot be read leaves the old keys in force. Gives the
    /// reasons.
    #[must_use]
    pub fn reload_guards(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for one in self.authenticators() {
            for file in one.files() {
                let content = std::fs::read(file).map_err(|why| format!("{file}: {why}"));
                let taken = content.and_then(|content| one.reload(file, &content));
                problems.extend(taken.err());
            }
        }
        problems
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
        let fewer = cloudwright_config::from_text(eds, "t").unwrap();
        state.assign(&fewer, &["s".into()]);
        assert_eq!(cluster(&state).counts(), (1, 1));
        state.assign(&Resources::default(), &["s".into()]);
        assert_eq!(cluster(&state).counts(), (0, 0));
    }
}
