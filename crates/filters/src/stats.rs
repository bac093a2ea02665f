//! The figures of one filter: counted by atomics, shown as a copy or as Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::circuit::Circuit;
use crate::declaration::Budget;

/// Upper bounds of the histogram, in microseconds; one more bucket takes the rest.
pub const BOUNDS_US: [u64; 9] = [25, 50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000];

/// One filter's state in the proxy. It outlives new versions of the filter.
#[derive(Debug)]
pub(crate) struct FilterState {
    pub name: Arc<str>,
    pub calls: AtomicU64,
    pub errors: AtomicU64,
    pub timeouts: AtomicU64,
    pub bypasses: AtomicU64,
    pub refusals: AtomicU64,
    pub answers: AtomicU64,
    nanoseconds: AtomicU64,
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    /// Whether the circuit must be asked; false is the usual case.
    tripped: AtomicBool,
    circuit: Mutex<Circuit>,
    reported: Mutex<Option<Instant>>,
}

impl FilterState {
    pub fn new(name: &str, budget: Budget) -> Self {
        Self {
            name: name.into(),
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            bypasses: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            buckets: Default::default(),
            tripped: AtomicBool::new(false),
            circuit: Mutex::new(Circuit::new(budget)),
            reported: Mutex::new(None),
        }
    }

    /// A new version has a fresh budget.
    pub fn renew(&self, budget: Budget) {
        *self.circuit() = Circuit::new(budget);
        self.tripped.store(false, Relaxed);
    }

    /// Whether it may be asked.
    pub fn admit(&self) -> bool {
        !self.tripped.load(Relaxed) || self.circuit().admit(Instant::now())
    }

    /// One hook ran.
    pub fn ran(&self, nanoseconds: u32) {
        self.calls.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::from(nanoseconds), Relaxed);
        let micros = u64::from(nanoseconds / 1000);
        let bucket = BOUNDS_US
            .iter()
            .position(|bound| micros <= *bound)
            .unwrap_or(BOUNDS_US.len());
        if let Some(counter) = self.buckets.get(bucket) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// It did its work.
    pub fn succeeded(&self) {
        if self.tripped.load(Relaxed) {
            let mut circuit = self.circuit();
            circuit.success();
            self.tripped.store(!circuit.is_closed(), Relaxed);
        }
    }

    /// It failed; whether this opened the circuit.
    pub fn failed(&self, fatal: bool) -> bool {
        let now = Instant::now();
        let mut circuit = self.circuit();
        let opened = if fatal {
            circuit.trip(now)
        } else {
            circuit.failure(now)
        };
        self.tripped.store(!circuit.is_closed(), Relaxed);
        opened
    }

    /// Whether a failure may be reported now: one a second.
    pub fn may_report(&self) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = reported.is_none_or(|last| now.duration_since(last).as_secs() >= 1);
        if may {
            *reported = Some(now);
        }
        may
    }

    /// A copy for people and tests.
    pub fn figures(&self) -> Figures {
        Figures {
            name: self.name.to_string(),
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            bypasses: self.bypasses.load(Relaxed),
            refusals: self.refusals.load(Relaxed),
            answers: self.answers.load(Relaxed),
            nanoseconds: self.nanoseconds.load(Relaxed),
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Relaxed)),
            open: self.tripped.load(Relaxed),
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one filter has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The filter.
    pub name: String,
    /// Hooks that ran, whatever came of them.
    pub calls: u64,
    /// Hooks that raised.
    pub errors: u64,
    /// Hooks that took too long.
    pub timeouts: u64,
    /// Requests, responses or pieces that went on without it.
    pub bypasses: u64,
    /// Requests that were refused because it failed.
    pub refusals: u64,
    /// Requests that it answered itself.
    pub answers: u64,
    /// Time in its hooks.
    pub nanoseconds: u64,
    /// Hooks by time, [`BOUNDS_US`].
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// Whether its budget is used up.
    pub open: bool,
}

/// Append Prometheus' text form of several filters' figures.
pub fn write_prometheus(figures: &[Figures], text: &mut String) {
    type Column = (&'static str, &'static str, fn(&Figures) -> u64);
    const COLUMNS: [Column; 6] = [
        ("calls", "Hooks that ran.", |figures| figures.calls),
        ("errors", "Hooks that raised.", |figures| figures.errors),
        ("timeouts", "Hooks that took too long.", |figures| {
            figures.timeouts
        }),
        (
            "bypasses",
            "Messages that went on without the filter.",
            |figures| figures.bypasses,
        ),
        (
            "refusals",
            "Requests refused because the filter failed.",
            |figures| figures.refusals,
        ),
        ("answers", "Requests that the filter answered.", |figures| {
            figures.answers
        }),
    ];
    if figures.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    for (name, help, value) in COLUMNS {
        let _ = writeln!(text, "# HELP cloudwright_filter_{name}_total {help}");
        let _ = writeln!(text, "# TYPE cloudwright_filter_{name}_total counter");
        for one in figures {
            let filter = &one.name;
            let _ = writeln!(
                text,
                "cloudwright_filter_{name}_total{{filter=\"{filter}\"}} {}",
                value(one)
            );
        }
    }
    let _ = writeln!(
        text,
        "# HELP cloudwright_filter_open Whether the budget is used up."
    );
    let _ = writeln!(text, "# TYPE cloudwright_filter_open gauge");
    for one in figures {
        let _ = writeln!(
            text,
            "cloudwright_filter_open{{filter=\"{}\"}} {}",
            one.name,
            u8::from(one.open)
        );
    }
    let _ = writeln!(text, "# HELP cloudwright_filter_seconds Time in hooks.");
    let _ = writeln!(text, "# TYPE cloudwright_filter_seconds histogram");
    for one in figures {
        write_histogram(one, text);
    }
}

fn write_histogram(one: &Figures, text: &mut String) {
    let filter = &one.name;
    let mut sum = 0;
    for (position, count) in one.buckets.iter().enumerate() {
        sum += count;
        let bound = match BOUNDS_US.get(position) {
            Some(micros) => format!("{}", *micros as f64 / 1e6),
            None => "+Inf".to_owned(),
        };
        let _ = writeln!(
            text,
            "cloudwright_filter_seconds_bucket{{filter=\"{filter}\",le=\"{bound}\"}} {sum}"
        );
    }
    let seconds = one.nanoseconds as f64 / 1e9;
    let _ = writeln!(
        text,
        "cloudwright_filter_seconds_sum{{filter=\"{filter}\"}} {seconds}"
    );
    let _ = writeln!(
        text,
        "cloudwright_filter_seconds_count{{filter=\"{filter}\"}} {sum}"
    );
}
