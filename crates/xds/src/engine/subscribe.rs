//! Which requests a stream sends: subscriptions follow the references of what is in force.
use std::{collections::BTreeSet, sync::Arc};

use super::{Engine, store::Store};
use crate::{
    kind::Kind,
    message::{Names, Request},
    translate::Resource,
};

impl Engine {
    /// Wants what listeners and clusters refer to, and nothing else.
    pub(super) fn follow(&mut self) {
        let (mut endpoints, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        let mut routes = BTreeSet::new();
        for entry in self.store(Kind::Cluster).entries.values() {
            if let Resource::Cluster(parts) = &entry.value {
                endpoints.extend(parts.endpoints.iter().cloned());
                secrets.extend(parts.credentials.discovered.iter().cloned());
            }
        }
        for entry in self.store(Kind::Listener).entries.values() {
            if let Resource::Listener(parts) = &entry.value {
                routes.extend(parts.routes.iter().cloned());
                secrets.extend(parts.credentials.discovered.iter().cloned());
            }
        }
        self.store_mut(Kind::Endpoints).want(endpoints);
        self.store_mut(Kind::Routes).want(routes);
        self.store_mut(Kind::Secret).want(secrets);
    }

    /// Requests for every type whose subscription differs from what the stream has asked for.
    pub(super) fn subscriptions(&mut self) -> Vec<Request> {
        if !self.connected {
            return Vec::new();
        }
        Kind::ALL
            .into_iter()
            .filter_map(|kind| self.request(kind, None))
            .collect()
    }

    /// The answer to a response, with what changed in the subscription.
    pub(super) fn reply(&mut self, kind: Kind, error: Option<String>) -> Option<Request> {
        self.request(kind, Some(error))
    }

    /// `reply`: `Some` answers the last response (with a reason: refuses it); `None` only
    /// subscribes, and is nothing when there is nothing to say.
    fn request(&mut self, kind: Kind, reply: Option<Option<String>>) -> Option<Request> {
        let delta = self.delta;
        let node = !self.node_sent;
        let store = self.store_mut(kind);
        let first = store.asked.is_none();
        let changed = store.asked.as_ref() != Some(&store.wanted);
        let silent = if first { !store.active() } else { !changed };
        if reply.is_none() && silent {
            return None;
        }
        let before = store.asked.replace(store.wanted.clone());
        let names = if delta {
            delta_names(store, &before.unwrap_or_default(), first)
        } else {
            whole_names(store, first)
        };
        let nonce = match reply {
            None if delta => Arc::default(),
            _ => Arc::clone(&store.nonce),
        };
        self.node_sent = true;
        Some(Request {
            kind,
            nonce,
            error: reply.flatten(),
            node,
            names,
        })
    }
}

fn whole_names(store: &Store, first: bool) -> Names {
    // A server that sees its own version answers nothing: only right when nothing is missing.
    let complete = store
        .wanted
        .iter()
        .all(|name| store.entries.contains_key(name));
    Names::Whole {
        names: store.wanted.iter().cloned().collect(),
        version: if first && !complete {
            Arc::default()
        } else {
            Arc::clone(&store.version)
        },
    }
}

fn delta_names(store: &Store, before: &BTreeSet<Arc<str>>, first: bool) -> Names {
    let known = |(name, entry): (&Arc<str>, &super::store::Entry)| {
        (Arc::clone(name), Arc::clone(&entry.version))
    };
    Names::Delta {
        subscribe: store.wanted.difference(before).cloned().collect(),
        unsubscribe: before.difference(&store.wanted).cloned().collect(),
        known: if first {
            store.entries.iter().map(known).collect()
        } else {
            Vec::new()
        },
    }
}
