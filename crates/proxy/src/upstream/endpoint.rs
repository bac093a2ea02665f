//! One address of a cluster: what is known of its health and load. Small, for there may be many.
use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use cloudwright_config::{
    Address,
    endpoint::{Endpoint as Config, Health, Locality},
};

const DISCOVERY: u8 = 1;
const CHECK: u8 = 2;
const EJECTED: u8 = 4;

/// Why an endpoint gets no requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Discovery says so.
    Discovery,
    /// Its health check fails.
    Check,
    /// It answered badly.
    Ejected,
}

impl Reason {
    fn bit(self) -> u8 {
        match self {
            Self::Discovery => DISCOVERY,
            Self::Check => CHECK,
            Self::Ejected => EJECTED,
        }
    }
}

/// Counters of answers, for outlier detection.
#[derive(Debug, Default)]
pub struct Answers {
    pub errors_in_row: AtomicU32,
    pub gateway_errors_in_row: AtomicU32,
    pub total: AtomicU32,
    pub failed: AtomicU32,
}

/// An address that serves, with its state.
pub struct Endpoint {
    pub address: Address,
    pub identity: Option<Arc<str>>,
    pub locality: Option<Arc<Locality>>,
    pub priority: u32,
    pub answers: Answers,
    pub pool: super::pool::Pool,
    weight: AtomicU32,
    active: AtomicU32,
    unwell: AtomicU8,
    ejections: AtomicU32,
    ejected_until_ms: AtomicU64,
    /// When it came, for slow start.
    pub since_ms: u64,
}

impl Endpoint {
    /// A new endpoint as discovery describes it.
    #[must_use]
    pub fn new(config: &Config, now_ms: u64) -> Self {
        let endpoint = Self {
            address: config.address.clone(),
            identity: config.identity.clone(),
            locality: config.locality.clone(),
            priority: config.priority,
            answers: Answers::default(),
            pool: super::pool::Pool::default(),
            weight: AtomicU32::new(config.weight),
            active: AtomicU32::new(0),
            unwell: AtomicU8::new(0),
            ejections: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            since_ms: now_ms,
        };
        endpoint.discovered(config);
        endpoint
    }

    /// Whether `config` means this endpoint: what else changes is taken over in place.
    #[must_use]
    pub fn is(&self, config: &Config) -> bool {
        self.address == config.address
            && self.identity == config.identity
            && self.priority == config.priority
            && self.locality == config.locality
    }

    /// Takes over weight and health from discovery.
    pub fn discovered(&self, config: &Config) {
        self.weight.store(config.weight, Ordering::Relaxed);
        self.mark(Reason::Discovery, config.health != Health::Healthy);
    }

    /// Its share.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Requests under way to it.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// One more request.
    pub fn enter(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn leave(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it may get requests.
    #[must_use]
    pub fn well(&self) -> bool {
        self.unwell.load(Ordering::Relaxed) == 0
    }

    /// Whether it gets none because of `reason`.
    #[must_use]
    pub fn is_marked(&self, reason: Reason) -> bool {
        self.unwell.load(Ordering::Relaxed) & reason.bit() != 0
    }

    /// Sets or takes away a reason; `true` when that changed anything.
    pub fn mark(&self, reason: Reason, set: bool) -> bool {
        let bit = reason.bit();
        let before = if set {
            self.unwell.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.unwell.fetch_and(!bit, Ordering::Relaxed)
        };
        (before & bit != 0) != set
    }

    /// Leaves it alone until `until_ms`; gives the number of ejections so far.
    pub fn eject(&self, until_ms: u64) -> u32 {
        self.ejected_until_ms.store(until_ms, Ordering::Relaxed);
        self.mark(Reason::Ejected, true);
        self.ejections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Times it was ejected, less those that time has forgiven.
    #[must_use]
    pub fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// A quiet interval: one ejection is forgiven.
    pub fn forgive(&self) {
        if !self.is_marked(Reason::Ejected) {
            let less = |count: u32| count.checked_sub(1);
            // None to forgive is fine.
            let _ = self
                .ejections
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Ends an ejection whose time is over.
    pub fn recover(&self, now_ms: u64) -> bool {
        if !self.is_marked(Reason::Ejected)
            || self.ejected_until_ms.load(Ordering::Relaxed) > now_ms
        {
            return false;
        }
        self.answers.errors_in_row.store(0, Ordering::Relaxed);
        self.answers
            .gateway_errors_in_row
            .store(0, Ordering::Relaxed);
        self.mark(Reason::Ejected, false)
    }
}
