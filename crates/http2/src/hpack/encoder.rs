//! Fields into header blocks.
//!
//! A field is put into the dynamic table at its second sight: what repeats (a route's path, a
//! content type) costs one octet from then on, and what does not (an identifier of a request)
//! never pushes it out. Strings are not Huffman coded: on the networks of a mesh the octets cost
//! less than the time.

use std::collections::VecDeque;

use http::{HeaderName, HeaderValue, header};

use super::fixed::{self, Pseudo};
use super::integer;

/// The largest table that we use, whatever the peer allows.
const MAX_TABLE: usize = 4096;
const SLOTS: usize = 128;
/// Fields longer than this would push out too much of the table.
const MAX_FIELD: usize = 1024;

/// The sending end of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// A change of `max` that the peer has not been told of, with the smallest in between.
    update: Option<usize>,
    /// Number of insertions so far, which wraps at 2^16; entry `i` (0: the newest) is insertion
    /// `inserted - i`. What is looked up is compared, so that a wrong number does no harm.
    inserted: u16,
    /// By hash: what was seen there last. Empty until the first field.
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Of the hash, what did not choose the slot; 0: nothing was seen.
    tag: u16,
    /// The insertion; 0: seen once.
    inserted: u16,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    value: Box<[u8]>,
}

#[derive(Debug)]
enum Key {
    Pseudo(Pseudo),
    Header(HeaderName),
}

impl Entry {
    fn size(&self) -> usize {
        let name = match &self.key {
            Key::Pseudo(pseudo) => fixed::name_length(*pseudo as usize),
            Key::Header(name) => name.as_str().len(),
        };
        name + self.value.len() + 32
    }
}

impl Encoder {
    /// An encoder with an empty table of the protocol's first size.
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: MAX_TABLE,
            update: None,
            inserted: 0,
            seen: Vec::new(),
        }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        let max = limit.min(MAX_TABLE);
        if max == self.max && self.update.is_none() {
            return;
        }
        self.update = Some(self.update.map_or(max, |smallest| smallest.min(max)));
        self.max = max;
        self.evict(0);
    }

    /// Begin a block: table size updates come first.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(smallest) = self.update.take() {
            if smallest < self.max {
                integer::write(out, 0x20, 5, smallest);
            }
            integer::write(out, 0x20, 5, self.max);
        }
    }

    /// An entry of the static table.
    #[inline]
    pub(crate) fn fixed(&mut self, out: &mut Vec<u8>, index: u8) {
        out.push(0x80 | index);
    }

    /// A pseudo header field.
    pub(crate) fn pseudo(&mut self, out: &mut Vec<u8>, pseudo: Pseudo, value: &[u8]) {
        let hash = hash(&[pseudo as u8], value);
        let same = |key: &Key| matches!(key, Key::Pseudo(other) if *other == pseudo);
        let index = pseudo as usize;
        match self.look(hash, value, index, same) {
            Look::Known(index) => integer::write(out, 0x80, 7, index),
            Look::Again => {
                literal(out, 0x40, 6, index, b"", value);
                self.insert(hash, Key::Pseudo(pseudo), value);
            }
            Look::New => literal(out, 0, 4, index, b"", value),
        }
    }

    /// `:protocol`, which the static table does not have.
    pub(crate) fn protocol(&mut self, out: &mut Vec<u8>, value: &[u8]) {
        literal(out, 0, 4, 0, b":protocol", value);
    }

    /// A regular field.
    pub(crate) fn header(&mut self, out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
        let index = fixed::index_of(name);
        let (text, octets) = (name.as_str().as_bytes(), value.as_bytes());
        if value.is_sensitive() || secret(name, octets) {
            literal(out, 0x10, 4, index, text, octets);
            return;
        }
        if text.len() + octets.len() > MAX_FIELD {
            literal(out, 0, 4, index, text, octets);
            return;
        }
        let hash = hash(text, octets);
        let same = |key: &Key| matches!(key, Key::Header(other) if other == name);
        match self.look(hash, octets, text.len(), same) {
            Look::Known(index) => integer::write(out, 0x80, 7, index),
            Look::Again => {
                literal(out, 0x40, 6, index, text, octets);
                self.insert(hash, Key::Header(name.clone()), octets);
            }
            Look::New => literal(out, 0, 4, index, text, octets),
        }
    }

    #[inline]
    fn look(&mut self, hash: u32, value: &[u8], name: usize, same: impl Fn(&Key) -> bool) -> Look {
        if name + value.len() + 32 > self.max {
            return Look::New;
        }
        if self.seen.is_empty() {
            self.seen = vec![Seen::default(); SLOTS];
        }
        let seen = &mut self.seen[hash as usize % SLOTS];
        let tag = tag(hash);
        if seen.tag != tag {
            *seen = Seen { tag, inserted: 0 };
            return Look::New;
        }
        if seen.inserted == 0 {
            return Look::Again;
        }
        let place = usize::from(self.inserted.wrapping_sub(seen.inserted));
        match self.entries.get(place) {
            Some(entry) if *entry.value == *value && same(&entry.key) => {
                Look::Known(place + fixed::ENTRIES + 1)
            }
            _ => Look::Again,
        }
    }

    fn insert(&mut self, hash: u32, key: Key, value: &[u8]) {
        let entry = Entry {
            key,
            value: value.into(),
        };
        let size = entry.size();
        self.evict(size);
        if size > self.max {
            return;
        }
        self.size += size;
        self.entries.push_front(entry);
        self.inserted = self.inserted.wrapping_add(1).max(1);
        self.seen[hash as usize % SLOTS].inserted = self.inserted;
    }

    fn evict(&mut self, wanted: usize) {
        while self.size + wanted > self.max {
            let Some(entry) = self.entries.pop_back() else {
                return;
            };
            self.size -= entry.size();
        }
    }
}

enum Look {
    /// In the table, at this index.
    Known(usize),
    /// Seen before, not in the table.
    Again,
    New,
}

/// Fields whose values must not be guessed by their size (RFC 7541 section 7.1.3).
fn secret(name: &HeaderName, value: &[u8]) -> bool {
    *name == header::AUTHORIZATION
        || *name == header::PROXY_AUTHORIZATION
        || *name == header::SET_COOKIE
        || (*name == header::COOKIE && value.len() < 20)
}

#[inline]
fn literal(out: &mut Vec<u8>, head: u8, bits: u32, index: usize, name: &[u8], value: &[u8]) {
    integer::write(out, head, bits, index);
    if index == 0 {
        integer::write(out, 0, 7, name.len());
        out.extend_from_slice(name);
    }
    integer::write(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

/// A quick hash; the table compares what it finds.
#[inline]
fn hash(name: &[u8], value: &[u8]) -> u32 {
    const K: u64 = 0x517c_c1b7_2722_0a95;
    let mut state = (name.len() as u64) << 32 | value.len() as u64;
    for part in [name, value] {
        let mut chunks = part.chunks_exact(8);
        for chunk in &mut chunks {
            let word = chunk.try_into().map_or(0, u64::from_le_bytes);
            state = (state.rotate_left(5) ^ word).wrapping_mul(K);
        }
        for &byte in chunks.remainder() {
            state = (state.rotate_left(5) ^ u64::from(byte)).wrapping_mul(K);
        }
    }
    (state >> 32) as u32
}

#[inline]
fn tag(hash: u32) -> u16 {
    ((hash >> 16) as u16).max(1)
}
