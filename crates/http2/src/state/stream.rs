//! One stream, and the table of all.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::task::Waker;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::error::Error;

/// Where a stream is: its slot, and its identifier to be sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) id: u32,
}

/// What came for the application.
#[derive(Debug)]
pub(crate) enum Event {
    Informational(Box<Response<()>>),
    Response(Box<Response<()>>),
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

/// How far the peer's half is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recv {
    /// A client waits for the response's head.
    Head,
    Body,
    Ended,
}

/// How far our half is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Send {
    Head,
    Body,
    /// The application has said the end; it may still wait behind a window.
    Ending,
    /// END_STREAM is in the write buffer.
    Ended,
}

/// No declared length.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// A stream that is open, or that handles still refer to.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u32,
    /// Handles that refer to it.
    pub(crate) refs: u32,
    pub(crate) recv: Recv,
    pub(crate) send: Send,
    /// It no longer counts and is no longer found by its identifier.
    pub(crate) closed: bool,
    /// It waits to be accepted.
    pub(crate) queued: bool,
    /// Nobody will read what comes.
    pub(crate) discard: bool,
    /// A response to HEAD: its length speaks of a body that does not come.
    pub(crate) head_request: bool,
    /// In the round of streams that have something to send.
    pub(crate) in_round: bool,
    /// In the queue for capacity.
    pub(crate) in_queue: bool,
    /// 1xx responses that came.
    pub(crate) informational: u8,
    pub(crate) send_window: i64,
    pub(crate) recv_window: i64,
    /// Octets that the application holds or has not fetched.
    pub(crate) held: u32,
    /// Octets given back and not announced to the peer yet.
    pub(crate) released: u32,
    /// Octets of the body that are still to come.
    pub(crate) expected: u64,
    pub(crate) events: Queue<Event>,
    pub(crate) bodies: Queue<Bytes>,
    /// Octets in `bodies`.
    pub(crate) buffered: usize,
    /// What the application wants to send next (`reserve_capacity`).
    pub(crate) wanted: usize,
    pub(crate) trailers: Option<Box<HeaderMap>>,
    pub(crate) error: Option<Box<Error>>,
    pub(crate) recv_task: Option<Waker>,
    pub(crate) send_task: Option<Waker>,
}

impl Stream {
    pub(crate) fn new(id: u32, send_window: u32, recv_window: u32) -> Self {
        Self {
            id,
            refs: 0,
            recv: Recv::Head,
            send: Send::Head,
            closed: false,
            queued: false,
            discard: false,
            head_request: false,
            in_round: false,
            in_queue: false,
            informational: 0,
            send_window: i64::from(send_window),
            recv_window: i64::from(recv_window),
            held: 0,
            released: 0,
            expected: UNKNOWN,
            events: Queue::default(),
            bodies: Queue::default(),
            buffered: 0,
            wanted: 0,
            trailers: None,
            error: None,
            recv_task: None,
            send_task: None,
        }
    }

    pub(crate) fn wake_recv(&mut self) {
        if let Some(task) = self.recv_task.take() {
            task.wake();
        }
    }

    pub(crate) fn wake_send(&mut self) {
        if let Some(task) = self.send_task.take() {
            task.wake();
        }
    }

    /// Count `length` octets of the body; false where more come than were declared, or fewer.
    pub(crate) fn count(&mut self, length: u64, end: bool) -> bool {
        if self.expected == UNKNOWN {
            return true;
        }
        match self.expected.checked_sub(length) {
            Some(left) => {
                self.expected = left;
                !end || left == 0
            }
            None => false,
        }
    }
}

/// Remember whom to wake, without a clone where it is the same task as before.
pub(crate) fn remember(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) if known.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

/// A queue that mostly holds nothing or one thing, and then costs no allocation.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.first.take();
        if self.rest.capacity() > 0 {
            self.first = self.rest.pop_front();
            if self.rest.is_empty() {
                self.rest = VecDeque::new();
            }
        }
        item
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

/// All streams of a connection.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Option<Box<Stream>>>,
    free: Vec<u32>,
    ids: HashMap<u32, u32, Seeded>,
}

impl Streams {
    /// Streams that exist, with those that are closed and still referred to.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Add an open stream.
    pub(crate) fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let stream = Some(Box::new(stream));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                self.slots.len() as u32 - 1
            }
        };
        self.ids.insert(id, slot);
        Key { slot, id }
    }

    /// The stream of `key`; handles and queues may outlive it.
    #[inline]
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut Stream> {
        let stream = self.slots.get_mut(key.slot as usize)?.as_deref_mut()?;
        (stream.id == key.id).then_some(stream)
    }

    /// The open stream with this identifier.
    #[inline]
    pub(crate) fn find(&mut self, id: u32) -> Option<(Key, &mut Stream)> {
        let slot = *self.ids.get(&id)?;
        let stream = self.slots.get_mut(slot as usize)?.as_deref_mut()?;
        Some((Key { slot, id }, stream))
    }

    /// It is no longer found by its identifier.
    pub(crate) fn forget(&mut self, id: u32) {
        self.ids.remove(&id);
    }

    /// Free its slot.
    pub(crate) fn remove(&mut self, key: Key) {
        if self.get(key).is_none() {
            return;
        }
        self.slots[key.slot as usize] = None;
        self.free.push(key.slot);
        if self.free.len() == self.slots.len() && self.slots.capacity() > 64 {
            *self = Self::default();
        }
    }

    /// The keys of all streams.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(slot, stream): (usize, &Option<Box<Stream>>)| {
            stream.as_ref().map(|stream| Key {
                slot: slot as u32,
                id: stream.id,
            })
        };
        self.slots.iter().enumerate().filter_map(key).collect()
    }
}

/// Hashes identifiers by one multiplication with an odd number that peers do not know.
#[derive(Debug, Clone, Copy)]
struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        Self(*SEED.get_or_init(|| RandomState::new().hash_one(0u8) | 1))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Product;

    fn build_hasher(&self) -> Product {
        Product(self.0)
    }
}

struct Product(u64);

impl Hasher for Product {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        let product = u128::from(self.0) * u128::from(u64::from(value) ^ (self.0 >> 7));
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_stream_is_small() {
        assert!(size_of::<Stream>() <= 320, "{}", size_of::<Stream>());
    }

    #[test]
    fn a_table_that_was_large_is_given_back() {
        let mut streams = Streams::default();
        let keys: Vec<Key> = (0..1000)
            .map(|number| streams.insert(Stream::new(number * 2 + 1, 0, 0)))
            .collect();
        assert_eq!(streams.find(9).map(|(key, _)| key), Some(keys[4]));
        for key in keys {
            streams.forget(key.id);
            streams.remove(key);
        }
        assert_eq!((streams.len(), streams.slots.capacity()), (0, 0));
    }
}
