//! The proxy's handle: asks which filters are for a request, shows figures.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::request::Parts;

use crate::chain::Chain;
use crate::declaration::FileError;
use crate::link::Shared;
use crate::stats::{self, Figures};
use crate::table::Mask;

/// A cheap handle on the filters; clones share them.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What the host has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Names, in the order in which they run.
    pub filters: Vec<String>,
    /// Files that gave none.
    pub errors: Vec<FileError>,
    /// Grows with each change of the folder.
    pub generation: u64,
}

/// The host did not announce its filters in time.
#[derive(Debug, thiserror::Error)]
#[error("the filters' host is not ready after {0:?}")]
pub struct NotReady(pub Duration);

impl Client {
    /// Wait until the host has announced its filters for the first time, `Options::start` at most.
    /// Serve no request before: until then nothing is known about filters, not even which of them
    /// fail closed.
    ///
    /// # Errors
    /// It took too long; the supervisor keeps trying.
    pub async fn ready(&self) -> Result<Loaded, NotReady> {
        let mut loaded = self.shared.loaded.subscribe();
        let patience = self.shared.options.start;
        match tokio::time::timeout(patience, loaded.wait_for(|count| *count > 0)).await {
            Ok(Ok(_)) => Ok(self.loaded()),
            _ => Err(NotReady(patience)),
        }
    }

    /// Wait for the next announcement after this call.
    pub async fn changed(&self) -> Loaded {
        let mut loaded = self.shared.loaded.subscribe();
        // The sender lives in `shared`, so it cannot be gone.
        let _ = loaded.changed().await;
        self.loaded()
    }

    /// What is in force.
    #[must_use]
    pub fn loaded(&self) -> Loaded {
        let table = self.shared.table.load();
        Loaded {
            filters: table
                .rules
                .iter()
                .map(|rule| rule.state.name.to_string())
                .collect(),
            errors: table.errors.clone(),
            generation: table.generation,
        }
    }

    /// The filters for a request; `None` when there are none, or all of them are left out now.
    /// Nothing is sent yet.
    #[must_use]
    pub fn chain(&self, parts: &Parts) -> Option<Chain> {
        let table = self.shared.table.load();
        if table.rules.is_empty() {
            return None;
        }
        let matching = table.matching(parts);
        if matching == 0 {
            return None;
        }
        let up = self.shared.link().up;
        let mut mask: Mask = 0;
        let mut refused = false;
        for (bit, rule) in table.of(matching) {
            if up && rule.state.admit() {
                mask |= bit;
            } else if rule.refuse {
                rule.state.refusals.fetch_add(1, Relaxed);
                refused = true;
            } else {
                rule.state.bypasses.fetch_add(1, Relaxed);
            }
        }
        if mask == 0 && !refused {
            return None;
        }
        let table = arc_swap::Guard::into_inner(table);
        Some(Chain::new(Arc::clone(&self.shared), table, mask, refused))
    }

    /// Each filter's figures, in the order in which they run.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        self.shared
            .table
            .load()
            .rules
            .iter()
            .map(|rule| rule.state.figures())
            .collect()
    }

    /// Append the figures in Prometheus' text form.
    pub fn write_metrics(&self, text: &mut String) {
        stats::write_prometheus(&self.figures(), text);
    }
}
