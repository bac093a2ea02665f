//! What happens to filters and their host, for the proxy's log. Never more than one line a second
//! for each filter.

use std::sync::Arc;

use crate::declaration::FileError;

/// Something that an operator wants to read.
#[derive(Debug, Clone)]
pub enum Event {
    /// The host announced its filters; names in the order in which they run.
    Loaded {
        /// Names.
        filters: Vec<String>,
    },
    /// A file gave no filters.
    FileFailed(FileError),
    /// A filter raised or took too long.
    FilterFailed {
        /// Its name.
        filter: Arc<str>,
        /// File, line and reason.
        message: String,
    },
    /// A filter used up its budget and is not asked for a while.
    CircuitOpened {
        /// Its name.
        filter: Arc<str>,
    },
    /// The host ended or could not be started; it is started again after `retry_ms`.
    HostEnded {
        /// Why.
        message: String,
        /// Milliseconds until the next start.
        retry_ms: u64,
    },
}

/// Takes events; called on the proxy's thread, so it must not block.
pub type Report = Arc<dyn Fn(Event) + Send + Sync>;
