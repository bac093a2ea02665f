//! One field out of an encoded message: found by number, the rest skipped, nothing copied or
//! allocated. For rules that route, hash or count by a field.
//!
//! | module | concept |
//! | --- | --- |
//! | `wire` | the records of an encoded message |
//! | `path` | names → numbers, once; numbers → the value, for each message |
mod path;
mod wire;

pub(crate) use path::field_named;
pub use path::{FieldPath, PathError, Scalar};
pub use wire::{Malformed, Record, Records, Wire};

#[cfg(test)]
mod tests;
