//! Kubernetes' built-in objects as Go's own types read and write them.
//!
//! One table (`Types`, from the struct tags of Kubernetes' Go sources) drives three things: reading a
//! protobuf body as JSON (`decode`), writing JSON as protobuf (`encode`, `encode_event`), and
//! bringing JSON into the form that Go would give it back in (`canonical`): unknown fields named
//! and dropped, zero values dropped or filled in, quantities and times in their canonical spelling
//! (`plain`: the same for bodies that nothing is to be said about).
//! Pure: bytes in, bytes out.
mod canonical;
mod decode;
mod encode;
mod errors;
mod given;
mod plain;
mod quantity;
mod time;
mod types;
mod varint;

pub use canonical::{Canonical, canonical};
pub use decode::decode;
pub use encode::{encode, encode_event};
pub use errors::WireError;
pub use plain::plain;
pub use quantity::canonical as canonical_quantity;
pub use types::Types;

/// What every protobuf body of Kubernetes starts with.
pub const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may be nested.
pub const DEPTH_MAX: usize = 100;
