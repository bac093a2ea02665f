//! Container and process output on disk in the CRI format.
mod file;
mod lines;
mod pump;

pub use file::{LogFile, Target};
pub use lines::Stream;
pub use pump::{Sink, pump};
