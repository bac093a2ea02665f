//! Image layers (OCI image-spec `layer.md`): compression with both digests in one pass, and safe extraction.
#![forbid(unsafe_code)]

mod compress;
mod digest;
mod error;
mod extract;
mod root;

pub use compress::{Compressed, compress};
pub use error::Error;
pub use extract::{Extracted, Limits, extract};
