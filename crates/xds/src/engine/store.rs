//! What is known of one type: resources, subscriptions, what the stream has said.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{kind::Kind, translate::Resource};

/// A resource as it is in force.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Of the bytes, so that the same ones are not translated again.
    pub hash: u64,
    /// Delta only.
    pub version: Arc<str>,
    pub expires: Option<Instant>,
    pub value: Resource,
}

/// Why an answer was refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// The version that was refused.
    pub version: String,
    pub reason: String,
}

/// One type's state.
#[derive(Debug)]
pub struct Store {
    /// All resources are wanted, not only those of `wanted`.
    pub wildcard: bool,
    pub wanted: BTreeSet<Arc<str>>,
    pub entries: BTreeMap<Arc<str>, Entry>,
    /// Wanted names of which the server said that there is nothing.
    pub absent: BTreeSet<Arc<str>>,
    /// The version in force.
    pub version: Arc<str>,
    /// Nonce of the last answer on this stream.
    pub nonce: Arc<str>,
    /// Names that this stream has asked for; `None` before its first request of the type.
    pub asked: Option<BTreeSet<Arc<str>>>,
    /// Any answer was accepted, on this or an earlier stream.
    pub answered: bool,
    pub accepted: u64,
    pub rejected: u64,
    pub last_rejection: Option<Rejection>,
}

/// What an answer changes: `None` removes.
pub type Changes = Vec<(Arc<str>, Option<Entry>)>;

impl Store {
    /// Nothing known; `names` are wanted for good, all resources when there are none.
    pub fn new(kind: Kind, names: &[Arc<str>]) -> Self {
        Self {
            wildcard: kind.wildcard() && names.is_empty(),
            wanted: names.iter().cloned().collect(),
            entries: BTreeMap::new(),
            absent: BTreeSet::new(),
            version: Arc::default(),
            nonce: Arc::default(),
            asked: None,
            answered: false,
            accepted: 0,
            rejected: 0,
            last_rejection: None,
        }
    }

    /// Whether a resource of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.wildcard || self.wanted.contains(name)
    }

    /// Whether a stream has to ask for the type at all.
    pub fn active(&self) -> bool {
        self.wildcard || !self.wanted.is_empty()
    }

    /// Makes the changes; what is returned makes them undone.
    pub fn apply(&mut self, changes: Changes) -> Changes {
        let mut undo = Vec::with_capacity(changes.len());
        for (name, entry) in changes {
            let before = match entry {
                Some(entry) => self.entries.insert(Arc::clone(&name), entry),
                None => self.entries.remove(&name),
            };
            undo.push((name, before));
        }
        undo
    }

    /// Takes back what `apply` did.
    pub fn undo(&mut self, undo: Changes) {
        for (name, before) in undo.into_iter().rev() {
            match before {
                Some(entry) => self.entries.insert(name, entry),
                None => self.entries.remove(&name),
            };
        }
    }

    /// Wants these names from now on and forgets resources of others.
    pub fn want(&mut self, wanted: BTreeSet<Arc<str>>) {
        if wanted == self.wanted {
            return;
        }
        self.wanted = wanted;
        if !self.wildcard {
            let wanted = &self.wanted;
            self.entries.retain(|name, _| wanted.contains(name));
            self.absent.retain(|name| wanted.contains(name));
        }
    }

    /// The stream is gone; what is known stays.
    pub fn disconnected(&mut self) {
        self.asked = None;
        self.nonce = Arc::default();
    }
}
