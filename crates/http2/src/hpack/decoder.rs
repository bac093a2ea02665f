//! Header blocks into fields.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::field::{Field, Name};
use super::{HpackError, fixed, huffman, integer};

/// Where strings are gathered: one allocation serves the values of many fields.
const ARENA: usize = 2048;

/// Takes the fields of one block.
pub(crate) trait Sink {
    /// One field and its size as RFC 9113 counts it (octets of name and value, plus 32).
    fn field(&mut self, field: Field, size: usize);
}

/// The receiving end of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: VecDeque<Entry>,
    size: usize,
    /// The size that the peer chose, at most `limit`.
    max: usize,
    /// The size that we allow (SETTINGS_HEADER_TABLE_SIZE).
    limit: usize,
    arena: BytesMut,
    scratch: BytesMut,
}

#[derive(Debug)]
struct Entry {
    field: Field,
    size: u32,
    name_length: u32,
}

impl Decoder {
    /// A decoder with an empty table of at most `limit` octets.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            max: limit,
            limit,
            arena: BytesMut::new(),
            scratch: BytesMut::new(),
        }
    }

    /// Decode a whole block into `sink`.
    ///
    /// # Errors
    /// The block is unreadable; the connection cannot go on.
    pub(crate) fn decode(&mut self, block: &[u8], sink: &mut impl Sink) -> Result<(), HpackError> {
        let mut at = 0;
        let mut fields = false;
        while let Some(&head) = block.get(at) {
            if head & 0x80 != 0 {
                let index = integer::read(block, &mut at, 7)? as usize;
                self.indexed(index, sink)?;
            } else if head & 0xe0 == 0x20 {
                let max = integer::read(block, &mut at, 5)? as usize;
                if fields || max > self.limit {
                    return Err(HpackError::SizeUpdate);
                }
                self.max = max;
                self.evict(0);
                continue;
            } else {
                let keep = head & 0x40 != 0;
                let bits = if keep { 6 } else { 4 };
                let index = integer::read(block, &mut at, bits)? as usize;
                self.literal(block, &mut at, index, keep, sink)?;
            }
            fields = true;
        }
        Ok(())
    }

    /// Give back what only a busy connection needs.
    pub(crate) fn rest(&mut self) {
        self.arena = BytesMut::new();
        self.scratch = BytesMut::new();
    }

    #[inline]
    fn indexed(&self, index: usize, sink: &mut impl Sink) -> Result<(), HpackError> {
        if index > fixed::ENTRIES {
            let entry = self.entry(index)?;
            sink.field(entry.field.clone(), entry.size as usize);
        } else if index > 0 {
            sink.field(fixed::field(index), fixed::size(index));
        } else {
            return Err(HpackError::Index);
        }
        Ok(())
    }

    fn literal(
        &mut self,
        block: &[u8],
        at: &mut usize,
        index: usize,
        keep: bool,
        sink: &mut impl Sink,
    ) -> Result<(), HpackError> {
        let (name, name_length) = match index {
            0 => self.literal_name(block, at)?,
            1..=fixed::ENTRIES => (fixed::name(index), fixed::name_length(index)),
            _ => {
                let entry = self.entry(index)?;
                (entry.field.name(), entry.name_length as usize)
            }
        };
        let (huffman, text) = string(block, at)?;
        if keep {
            // The table outlives the arena: its entries own their bytes.
            self.scratch.clear();
            unpack(huffman, text, &mut self.scratch)?;
            let value = Bytes::copy_from_slice(&self.scratch);
            let size = name_length + value.len() + 32;
            let field = name.with(value);
            self.insert(field.clone(), size, name_length);
            sink.field(field, size);
        } else {
            let value = self.value(huffman, text)?;
            let size = name_length + value.len() + 32;
            sink.field(name.with(value), size);
        }
        Ok(())
    }

    fn literal_name(&mut self, block: &[u8], at: &mut usize) -> Result<(Name, usize), HpackError> {
        let (huffman, text) = string(block, at)?;
        if !huffman {
            return Ok((Name::parse(text), text.len()));
        }
        self.scratch.clear();
        huffman::decode(text, &mut self.scratch)?;
        Ok((Name::parse(&self.scratch), self.scratch.len()))
    }

    fn value(&mut self, huffman: bool, text: &[u8]) -> Result<Bytes, HpackError> {
        let most = if huffman {
            text.len() * 8 / 5 + 1
        } else {
            text.len()
        };
        if self.arena.capacity() < most {
            self.arena.reserve(most.max(ARENA));
        }
        unpack(huffman, text, &mut self.arena)?;
        Ok(self.arena.split().freeze())
    }

    fn entry(&self, index: usize) -> Result<&Entry, HpackError> {
        self.table
            .get(index - fixed::ENTRIES - 1)
            .ok_or(HpackError::Index)
    }

    fn insert(&mut self, field: Field, size: usize, name_length: usize) {
        self.evict(size);
        if size <= self.max {
            self.size += size;
            self.table.push_front(Entry {
                field,
                size: size as u32,
                name_length: name_length as u32,
            });
        }
    }

    /// Make room for `wanted` octets.
    fn evict(&mut self, wanted: usize) {
        while self.size + wanted > self.max {
            let Some(entry) = self.table.pop_back() else {
                return;
            };
            self.size -= entry.size as usize;
        }
    }
}

/// A string literal: whether it is Huffman coded, and its octets.
#[inline]
fn string<'a>(block: &'a [u8], at: &mut usize) -> Result<(bool, &'a [u8]), HpackError> {
    let huffman = block.get(*at).ok_or(HpackError::Truncated)? & 0x80 != 0;
    let length = integer::read(block, at, 7)? as usize;
    let text = block.get(*at..*at + length).ok_or(HpackError::Truncated)?;
    *at += length;
    Ok((huffman, text))
}

#[inline]
fn unpack(huffman: bool, text: &[u8], out: &mut BytesMut) -> Result<(), HpackError> {
    if huffman {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}
