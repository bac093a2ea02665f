//! What is told about requests: counters that cost a few atomic additions, and their text.
pub mod series;

pub use series::{Registry, Series};
