//! What every connection and request of a process shares.
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::state::State;
use crate::{accesslog::AccessLog, drain::Drain, telemetry::Series};

/// Events that are counted, one by one.
#[derive(Debug, Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub connections_open: AtomicU64,
    pub handshakes_refused: AtomicU64,
    pub retries: AtomicU64,
    pub hedges: AtomicU64,
    pub mirrored: AtomicU64,
    pub overloaded: AtomicU64,
    pub config_applied: AtomicU64,
    pub config_refused: AtomicU64,
}

/// Adds one.
pub fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// One for a process.
pub struct Shared {
    pub state: State,
    pub counters: Counters,
    /// Malformed messages by reason.
    pub faults: std::sync::Mutex<std::collections::BTreeMap<&'static str, u64>>,
    /// Requests that no rule meant.
    pub unrouted: Series,
    pub log: Arc<AccessLog>,
    pub drain: Arc<Drain>,
    /// Filters in Python, where a folder of them was named.
    pub filters: OnceLock<cloudwright_filters::Client>,
    /// The stream to the control plane, where there is one.
    pub control: OnceLock<cloudwright_xds::Handle>,
}

impl Shared {
    /// With an access log at `target` (`-`, a file, or `off`).
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn new(target: &str) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            state: State::default(),
            counters: Counters::default(),
            faults: std::sync::Mutex::default(),
            unrouted: Series::default(),
            log: Arc::new(AccessLog::open(target)?),
            drain: Arc::new(Drain::default()),
            filters: OnceLock::new(),
            control: OnceLock::new(),
        }))
    }

    /// Counts a malformed message.
    pub fn fault(&self, reason: &'static str) {
        let mut all = self
            .faults
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *all.entry(reason).or_default() += 1;
    }
}
