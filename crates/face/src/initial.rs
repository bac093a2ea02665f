//! The objects that exist when a watch begins, as `ADDED` events, written out piece by piece:
//! a thousand watches that begin at once share one snapshot.
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{fan::Bookmark, listing, state::Snapshot};

const PIECE: usize = 32 << 10;

/// Where the objects come from, and where it stands.
#[derive(Debug)]
pub(crate) struct Initial {
    snapshot: Snapshot,
    prefix: Arc<str>,
    /// How a shown object begins.
    wanted: Vec<u8>,
    after: Option<Arc<str>>,
    /// Tells that this was all.
    end: Option<Bookmark>,
    done: bool,
}

impl Initial {
    pub fn new(snapshot: Snapshot, prefix: &str, api_version: &str, end: Option<Bookmark>) -> Self {
        Self {
            snapshot,
            prefix: Arc::from(prefix),
            wanted: listing::beginning(api_version),
            after: None,
            end,
            done: false,
        }
    }

    /// The next events; `None`: there are no more.
    pub fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut out = BytesMut::new();
        let prefix = Arc::clone(&self.prefix);
        let from = self.after.take();
        for (key, value) in self.snapshot.entries(from.as_deref(), &prefix) {
            out.put_slice(b"{\"type\":\"ADDED\",\"object\":");
            listing::put(&self.wanted, value, &mut out);
            out.put_slice(b"}\n");
            if out.len() >= PIECE {
                self.after = Some(Arc::clone(key));
                return Some(out.freeze());
            }
        }
        self.done = true;
        if let Some(end) = &self.end {
            out.put_slice(&end.line(self.snapshot.revision));
        }
        self.snapshot = Snapshot::default();
        (!out.is_empty()).then(|| out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn every_object_of_the_snapshot_comes_once() {
        let state = State::new(1 << 30);
        let filler = "x".repeat(3000);
        for number in 0..100 {
            let text = format!(r#"{{"apiVersion":"v1","n":{number},"f":"{filler}"}}"#);
            let key = format!("/core/pods/default/p{number:03}");
            state.put(&key, Some(Bytes::from(text)), number + 1);
        }
        state.put(
            "/core/podtemplates/default/x",
            Some(Bytes::from_static(b"{}")),
            101,
        );
        state.ready(101);
        let end = Bookmark {
            forms: vec![(Bytes::from_static(b"<"), Bytes::from_static(b">\n"))],
        };
        let snapshot = state.snapshot().unwrap();
        let mut initial = Initial::new(snapshot, "/core/pods/", "v1", Some(end));
        state.put("/core/pods/default/p050", None, 102);
        let mut all = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = initial.next() {
            all.extend_from_slice(&piece);
            pieces += 1;
        }
        let text = String::from_utf8(all).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 101);
        assert!(pieces > 5);
        for (number, line) in lines.iter().take(100).enumerate() {
            assert!(line.contains(&format!("\"n\":{number},")), "{number}");
        }
        assert_eq!(lines.last(), Some(&"<101>"));
    }
}
