//! Reads that need nothing of the program: of objects in the state, for callers it allowed before.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    answer::Head,
    body::{Body, Source},
    inbox::locked,
    kinds::{Kind, Route},
    listing::{self, Listing},
    state::State,
};

const ENTRIES_MAX: usize = 20_000;

/// Who asks: what the program's authentication decides by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub certificate: Option<[u8; 32]>,
    pub authorization: Option<HeaderValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    identity: Identity,
    kind: Arc<Kind>,
    verb: &'static str,
    namespace: Box<str>,
}

/// A question that the program answers by serving the request.
#[derive(Debug)]
pub(crate) struct Ticket {
    key: Key,
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    /// Headers of the program's answer that belong to the decision.
    headers: Arc<HeaderMap>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    generation: u64,
}

/// What callers were allowed, until something changes or time passes.
#[derive(Debug)]
pub(crate) struct Allowed {
    inner: Mutex<Inner>,
    life: Duration,
}

impl Allowed {
    pub fn new(life: Duration) -> Self {
        Self {
            inner: Mutex::default(),
            life,
        }
    }

    /// Forgets every decision, also those being made.
    pub fn invalidate(&self) {
        let mut inner = locked(&self.inner);
        inner.generation += 1;
        inner.entries.clear();
    }

    /// Keeps the decision, if nothing changed since it was asked for.
    pub fn keep(&self, ticket: Ticket, head: &Head) {
        if self.life.is_zero() {
            return;
        }
        let mut inner = locked(&self.inner);
        if inner.generation != ticket.generation {
            return;
        }
        if inner.entries.len() >= ENTRIES_MAX {
            let now = Instant::now();
            inner.entries.retain(|_, entry| entry.until > now);
            if inner.entries.len() >= ENTRIES_MAX {
                inner.entries.clear();
            }
        }
        let mut headers = head.map();
        let kept = |name: &HeaderName| name.as_str().starts_with("x-kubernetes-");
        let drop: Vec<_> = headers.keys().filter(|n| !kept(n)).cloned().collect();
        for name in drop {
            headers.remove(name);
        }
        let entry = Entry {
            until: Instant::now() + self.life,
            headers: Arc::new(headers),
        };
        inner.entries.insert(ticket.key, entry);
    }

    fn ask(&self, key: Key) -> Result<Arc<HeaderMap>, Box<Ticket>> {
        let inner = locked(&self.inner);
        match inner.entries.get(&key) {
            Some(entry) if entry.until > Instant::now() => Ok(Arc::clone(&entry.headers)),
            _ => Err(Box::new(Ticket {
                key,
                generation: inner.generation,
            })),
        }
    }
}

/// What became of a try to answer.
pub(crate) enum Tried {
    Answered(Body, Arc<HeaderMap>),
    /// It could be, once the program says that the caller may.
    Askable(Box<Ticket>),
    No,
}

/// Answers a plain read of one object or a whole list.
pub(crate) fn answer(
    state: &State,
    allowed: &Allowed,
    route: &Route<'_>,
    query: &str,
    headers: &HeaderMap,
    identity: &Identity,
) -> Tried {
    let Some(wish) = wish(route, query) else {
        return Tried::No;
    };
    if !takes_json(headers) || impersonates(headers) {
        return Tried::No;
    }
    let key = Key {
        identity: identity.clone(),
        kind: Arc::clone(wish.kind),
        verb: route.verb,
        namespace: route.namespace.into(),
    };
    let extra = match allowed.ask(key) {
        Ok(extra) => extra,
        Err(ticket) => return Tried::Askable(ticket),
    };
    match wish.read(state, route) {
        Some(body) => Tried::Answered(body, extra),
        None => Tried::No,
    }
}

struct Wish<'a> {
    kind: &'a Arc<Kind>,
    limit: usize,
}

/// What is asked for, if it is among what can be answered here.
fn wish<'a>(route: &'a Route<'_>, query: &str) -> Option<Wish<'a>> {
    let kind = route.kind.as_ref()?;
    let plain = kind.plain && route.subresource.is_empty();
    let placed = kind.namespaced != route.namespace.is_empty();
    let encoded = route.name.contains('%') || route.namespace.contains('%');
    let limit = match route.verb {
        "GET" if placed && !route.name.is_empty() && query.is_empty() => Some(0),
        "LIST" if placed || kind.namespaced => limit_of(query),
        _ => None,
    };
    (plain && !encoded).then_some(())?;
    Some(Wish {
        kind,
        limit: limit?,
    })
}

/// The limit in a list's query (0: none) when it asks for the newest state and nothing else.
fn limit_of(query: &str) -> Option<usize> {
    let mut limit = 0;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        match pair.split_once('=')? {
            ("limit", text) => limit = text.parse().ok()?,
            ("resourceVersion", "" | "0") => {}
            ("fieldSelector" | "labelSelector" | "continue" | "resourceVersionMatch", "") => {}
            _ => return None,
        }
    }
    Some(limit)
}

/// Whether plain JSON is the first form that the client accepts.
fn takes_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(header::ACCEPT) else {
        return true;
    };
    let first = accept.to_str().unwrap_or("?").split(',').next();
    let first = first.unwrap_or_default().trim();
    let (media, parameters) = first.split_once(';').unwrap_or((first, ""));
    matches!(media.trim(), "application/json" | "*/*" | "") && !parameters.contains("as=")
}

fn impersonates(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| name.as_str().starts_with("impersonate-"))
        || headers.get_all(header::AUTHORIZATION).iter().count() > 1
}

impl Wish<'_> {
    fn read(&self, state: &State, route: &Route<'_>) -> Option<Body> {
        let storage = &self.kind.storage;
        if route.verb == "GET" {
            let key = format!("{storage}{}/{}", route.namespace, route.name);
            // What is not there is the program's to say.
            let value = state.get(&key)??;
            return listing::object(self.kind, &value).map(Body::whole);
        }
        let now = state.snapshot()?;
        let prefix = if route.namespace.is_empty() {
            storage.clone()
        } else {
            format!("{storage}{}/", route.namespace)
        };
        let items: Vec<_> = now.under(&prefix).cloned().collect();
        if self.limit > 0 && items.len() > self.limit {
            return None;
        }
        let listing = Listing::new(self.kind, now.revision, items)?;
        Some(Body::new(Source::Listing(Box::new(listing))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;
    use bytes::Bytes;

    fn kinds() -> Kinds {
        Kinds::new(vec![Kind {
            group: String::new(),
            version: "v1".into(),
            resource: "configmaps".into(),
            namespaced: true,
            storage: "/core/configmaps/".into(),
            list_kind: "ConfigMapList".into(),
            plain: true,
            bare: true,
            subresources: vec![],
        }])
    }

    struct World {
        kinds: Kinds,
        state: State,
        allowed: Allowed,
    }

    impl World {
        fn new() -> Self {
            let state = State::new(1 << 20);
            let value =
                Bytes::from_static(br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#);
            state.put("/core/configmaps/default/a", Some(value), 3);
            state.ready(3);
            let allowed = Allowed::new(Duration::from_secs(60));
            Self {
                kinds: kinds(),
                state,
                allowed,
            }
        }

        fn get(&self, path: &str, query: &str, headers: &HeaderMap, who: u8) -> Tried {
            let route = Route::of(&self.kinds, "GET", path, query.contains("watch"));
            let identity = Identity {
                certificate: Some([who; 32]),
                authorization: None,
            };
            answer(
                &self.state,
                &self.allowed,
                &route,
                query,
                headers,
                &identity,
            )
        }

        fn allow(&self, path: &str, query: &str, who: u8) {
            match self.get(path, query, &HeaderMap::new(), who) {
                Tried::Askable(ticket) => self.allowed.keep(*ticket, &Head::default()),
                _ => panic!("{path}?{query} cannot be asked for"),
            }
        }
    }

    const ONE: &str = "/api/v1/namespaces/default/configmaps/a";
    const ALL: &str = "/api/v1/namespaces/default/configmaps";

    fn answered(tried: &Tried) -> bool {
        matches!(tried, Tried::Answered(..))
    }

    #[test]
    fn only_who_was_allowed_is_answered() {
        let world = World::new();
        let none = HeaderMap::new();
        assert!(!answered(&world.get(ONE, "", &none, 1)));
        world.allow(ONE, "", 1);
        assert!(answered(&world.get(ONE, "", &none, 1)));
        assert!(!answered(&world.get(ONE, "", &none, 2)));
        assert!(!answered(&world.get(ALL, "", &none, 1)));
        let elsewhere = ONE.replace("default", "other");
        assert!(!answered(&world.get(&elsewhere, "", &none, 1)));
        world.allowed.invalidate();
        assert!(!answered(&world.get(ONE, "", &none, 1)));
    }

    #[test]
    fn a_decision_older_than_a_change_is_not_kept() {
        let world = World::new();
        let none = HeaderMap::new();
        let Tried::Askable(ticket) = world.get(ONE, "", &none, 1) else {
            panic!("it cannot be asked for");
        };
        world.allowed.invalidate();
        world.allowed.keep(*ticket, &Head::default());
        assert!(!answered(&world.get(ONE, "", &none, 1)));
    }

    #[test]
    fn only_plain_reads_are_answered() {
        let world = World::new();
        let none = HeaderMap::new();
        world.allow(ALL, "limit=500&resourceVersion=0", 1);
        assert!(answered(&world.get(ALL, "limit=1", &none, 1)));
        for query in [
            "watch=1",
            "labelSelector=a",
            "continue=x",
            "resourceVersion=2",
            "limit=-1",
        ] {
            assert!(!answered(&world.get(ALL, query, &none, 1)), "{query}");
        }
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        for (name, value, yes) in [
            ("accept", "application/json, */*", true),
            (
                "accept",
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                false,
            ),
            (
                "accept",
                "application/vnd.kubernetes.protobuf,application/json",
                false,
            ),
            ("impersonate-user", "ann", false),
        ] {
            assert_eq!(
                answered(&world.get(ALL, "", &with(name, value), 1)),
                yes,
                "{value}"
            );
        }
    }
}
