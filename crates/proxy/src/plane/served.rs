//! A listener in force, with what its requests are measured against.
use arc_swap::{ArcSwap, ArcSwapOption};
use cloudwright_config::Listener;
use cloudwright_guard::{Bucket, Pace, Take};

use crate::{credentials::ServerTls, flow::grpc::Grpc, routing::Table, upstream::Cluster};

/// A listener in force; the object stays while its routes and certificates change.
pub struct Served {
    pub config: ArcSwap<Listener>,
    pub table: ArcSwap<Table>,
    pub tls: ArcSwapOption<ServerTls>,
    pub cluster: ArcSwapOption<Cluster>,
    /// gRPC for clients that do not speak it.
    pub grpc: ArcSwapOption<Grpc>,
    pub(super) bucket: Bucket,
}

impl Served {
    /// Whether the listener takes one more request now; else nanoseconds until it may.
    ///
    /// # Errors
    /// The nanoseconds.
    pub fn admit(&self, now_ns: u64) -> Result<(), u64> {
        match self
            .bucket
            .take(&pace(self.config.load().limits.max_rate), 1, now_ns)
        {
            Take::Granted => Ok(()),
            Take::Wait(ns) => Err(ns),
        }
    }
}

/// A rate with a burst of a tenth of a second.
#[must_use]
pub fn pace(rate: f64) -> Pace {
    // A positive number, cut to what fits.
    Pace::new(rate, (rate / 10.0).clamp(1.0, 1e9) as u64)
}
