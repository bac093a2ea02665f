//! HPACK (RFC 7541) that speaks the types of the `http` crate.
//!
//! - `decoder`: header blocks → [`Field`]s; the dynamic table keeps parsed fields, so that a
//!   repeated `:path` or header costs a reference count instead of a parse.
//! - `encoder`: fields → header blocks; a field enters the dynamic table at its second sight.
//! - `fixed`: the static table, both ways. `huffman`: the string code. `integer`: prefixed integers.

mod decoder;
mod encoder;
mod field;
mod fixed;
mod huffman;
mod integer;
#[cfg(test)]
mod tests;

pub(crate) use decoder::{Decoder, Sink};
pub(crate) use encoder::Encoder;
pub(crate) use field::Field;
pub(crate) use fixed::Pseudo;

/// What makes a header block unreadable: always a connection error (COMPRESSION_ERROR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HpackError {
    /// The block ends inside a field.
    #[error("the header block ends inside a field")]
    Truncated,
    /// An integer above 2^28.
    #[error("an integer is out of range")]
    Integer,
    /// An index that names no entry.
    #[error("an index names no entry")]
    Index,
    /// A size update above the limit, or not at the head of the block.
    #[error("a table size update is out of place or above the limit")]
    SizeUpdate,
    /// A string that is no Huffman code.
    #[error("a string is not Huffman coded as it says")]
    Huffman,
}
