//! The newest state of every object, encoded, as of one revision: what reads are answered from.
use std::{
    ops::Bound,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use imbl::OrdMap;

use crate::inbox::locked;

type Objects = OrdMap<Arc<str>, Bytes>;

/// The objects as of `revision`. Cloning one is cheap; it keeps what it shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub revision: u64,
    objects: Objects,
}

impl Snapshot {
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.objects.get(key)
    }

    /// The values whose key starts with `prefix`, in key order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.entries(None, prefix).map(|(_, value)| value)
    }

    /// The keys that start with `prefix` and come after `after`, with their values, in order.
    pub fn entries<'a>(
        &'a self,
        after: Option<&'a str>,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Bytes)> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        self.objects
            .range::<_, str>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }
}

#[derive(Debug, Default)]
struct Inner {
    now: Snapshot,
    bytes: usize,
    ready: bool,
    overfull: bool,
}

/// The state, written by the program in revision order before it acknowledges the write.
#[derive(Debug)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

impl State {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            inner: Mutex::default(),
            bytes_max,
        }
    }

    /// Puts an object, or removes it. `revision` 0 leaves the state's revision: the first filling.
    pub fn put(&self, key: &str, value: Option<Bytes>, revision: u64) {
        let mut inner = locked(&self.inner);
        if revision > 0 {
            inner.now.revision = revision;
        }
        if inner.overfull {
            return;
        }
        let (added, old) = match value {
            Some(value) => {
                let size = key.len() + value.len();
                (size, inner.now.objects.insert(Arc::from(key), value))
            }
            None => (0, inner.now.objects.remove(key)),
        };
        let removed = old.map_or(0, |value| key.len() + value.len());
        inner.bytes = (inner.bytes + added).saturating_sub(removed);
        if inner.bytes > self.bytes_max {
            // Too much for memory: reads go to the store from now on.
            inner.overfull = true;
            inner.ready = false;
            inner.now.objects = Objects::default();
            inner.bytes = 0;
        }
    }

    /// The first filling is complete, as of `revision`.
    pub fn ready(&self, revision: u64) {
        let mut inner = locked(&self.inner);
        inner.now.revision = inner.now.revision.max(revision);
        inner.ready = !inner.overfull;
    }

    /// Not to be read any more.
    pub fn reset(&self) {
        let mut inner = locked(&self.inner);
        inner.ready = false;
        inner.overfull = true;
        inner.now = Snapshot::default();
        inner.bytes = 0;
    }

    /// The newest value of `key`; outer `None`: the state cannot tell.
    pub fn get(&self, key: &str) -> Option<Option<Bytes>> {
        let inner = locked(&self.inner);
        inner.ready.then(|| inner.now.get(key).cloned())
    }

    /// Everything, as it is now.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let inner = locked(&self.inner);
        inner.ready.then(|| inner.now.clone())
    }

    /// `(objects, their bytes)`.
    pub fn size(&self) -> (usize, usize) {
        let inner = locked(&self.inner);
        (inner.now.objects.len(), inner.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_snapshot_keeps_its_revision() {
        let state = State::new(1000);
        assert!(state.snapshot().is_none());
        state.put("/core/pods/a/x", value("1"), 0);
        state.ready(5);
        let before = state.snapshot().unwrap();
        state.put("/core/pods/a/x", value("2"), 6);
        state.put("/core/pods/b/y", value("3"), 7);
        state.put("/core/podtemplates/a/z", value("4"), 8);
        assert_eq!(before.revision, 5);
        assert_eq!(before.get("/core/pods/a/x"), value("1").as_ref());
        let now = state.snapshot().unwrap();
        assert_eq!(now.revision, 8);
        let all: Vec<_> = now.under("/core/pods/").collect();
        assert_eq!(all, [&b"2"[..], b"3"]);
        assert_eq!(now.under("/core/pods/b/").count(), 1);
        state.put("/core/pods/a/x", None, 9);
        assert_eq!(state.get("/core/pods/a/x"), Some(None));
    }

    #[test]
    fn too_much_turns_it_off() {
        let state = State::new(20);
        state.put("/a/b/c/d", value("0123456789"), 1);
        state.ready(1);
        assert_eq!(state.size(), (1, 18));
        state.put("/a/b/c/d", value("012"), 2);
        assert_eq!(state.size(), (1, 11));
        state.put("/a/b/c/e", value("0123"), 3);
        assert_eq!(state.get("/a/b/c/d"), None);
        state.ready(3);
        assert!(state.snapshot().is_none());
    }
}
