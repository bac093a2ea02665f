//! Events as they go out: encoded and framed once, shared by all who get them.
use bytes::{BufMut, Bytes, BytesMut};

/// Events that wait at the same time go out together up to this size.
const TOGETHER: usize = 32 << 10;
/// The end of a body in chunks (RFC 9112, 7.1).
pub(crate) const LAST: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// A piece of a body, as it is and as a chunk of HTTP/1.1.
#[derive(Debug, Clone)]
pub(crate) struct Framed {
    pub chunk: Bytes,
    pub line: Bytes,
}

impl Framed {
    /// Of the lines' bytes one after the other; they must not be empty, for that ends a body.
    pub fn new<'a>(lines: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let size: usize = lines.clone().map(<[u8]>::len).sum();
        let head = format!("{size:x}\r\n");
        let mut chunk = BytesMut::with_capacity(head.len() + size + 2);
        chunk.put_slice(head.as_bytes());
        lines.for_each(|line| chunk.put_slice(line));
        chunk.put_slice(b"\r\n");
        let chunk = chunk.freeze();
        let line = chunk.slice(head.len()..head.len() + size);
        Self { chunk, line }
    }

    pub fn one(line: &[u8]) -> Self {
        Self::new(std::iter::once(line))
    }
}

/// An event for the watchers of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub topic: u64,
    pub revision: u64,
    pub framed: Framed,
}

/// Events of one topic that go out together.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    events: &'a [Event],
    joined: Framed,
}

impl<'a> Batch<'a> {
    /// `events`, in their order, in as few pieces as their sizes allow.
    pub fn of(mut events: &'a [Event]) -> Vec<Self> {
        let mut all = Vec::new();
        while let [first, rest @ ..] = events {
            let mut size = first.framed.line.len();
            let fits = |event: &&Event| {
                size += event.framed.line.len();
                size <= TOGETHER
            };
            let count = 1 + rest.iter().take_while(fits).count();
            let (part, later) = events.split_at(count);
            let joined = match part {
                [one] => one.framed.clone(),
                many => Framed::new(many.iter().map(|event| &event.framed.line[..])),
            };
            all.push(Self {
                events: part,
                joined,
            });
            events = later;
        }
        all
    }

    /// What of it is for a watcher that has seen everything up to `after`.
    pub fn later_than(&self, after: u64) -> impl Iterator<Item = &Framed> {
        let whole = self.events.first().is_some_and(|e| e.revision > after);
        let some = if whole { &[][..] } else { self.events };
        let single = some.iter().filter(move |event| event.revision > after);
        let joined = whole.then_some(&self.joined);
        joined.into_iter().chain(single.map(|event| &event.framed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, line: &[u8]) -> Event {
        Event {
            topic: 1,
            revision,
            framed: Framed::one(line),
        }
    }

    #[test]
    fn a_chunk_has_its_size_in_front() {
        let framed = Framed::one(b"0123456789abcdef\n");
        assert_eq!(framed.chunk, &b"11\r\n0123456789abcdef\n\r\n"[..]);
        assert_eq!(framed.line, &b"0123456789abcdef\n"[..]);
    }

    #[test]
    fn a_watcher_gets_what_is_later_than_what_it_saw() {
        let events: Vec<_> = (1..=3)
            .map(|n| event(n, format!("{n}\n").as_bytes()))
            .collect();
        let batches = Batch::of(&events);
        assert_eq!(batches.len(), 1);
        let seen = |after| -> Vec<u8> {
            let all = batches.iter().flat_map(|b| b.later_than(after));
            all.flat_map(|framed| framed.line.to_vec()).collect()
        };
        assert_eq!(seen(0), b"1\n2\n3\n");
        assert_eq!(seen(1), b"2\n3\n");
        assert_eq!(seen(3), b"");
        assert_eq!(batches[0].later_than(0).count(), 1);
        assert_eq!(batches[0].later_than(1).count(), 2);
    }

    #[test]
    fn large_events_go_alone() {
        let large = vec![b'x'; TOGETHER];
        let events = [
            event(1, b"a"),
            event(2, &large),
            event(3, b"b"),
            event(4, b"c"),
        ];
        let sizes: Vec<_> = Batch::of(&events).iter().map(|b| b.events.len()).collect();
        assert_eq!(sizes, [1, 1, 2]);
    }
}
