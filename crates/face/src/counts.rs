//! What is counted about requests, by what they are about; names follow kube-apiserver.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    inbox::locked,
    kinds::{Kind, Route},
};

/// Upper bounds of `apiserver_request_duration_seconds`, as upstream has them.
pub const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];
const NO_SUBRESOURCE: u8 = u8::MAX;
const OTHER_SUBRESOURCE: u8 = u8::MAX - 1;

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    pub kind: Option<Arc<Kind>>,
    pub verb: &'static str,
    pub scope: &'static str,
    pub dry_run: bool,
    subresource: u8,
}

impl Labels {
    pub(crate) fn of(route: &Route<'_>, dry_run: bool) -> Self {
        let subresource = match (&route.kind, route.subresource) {
            (_, "") | (None, _) => NO_SUBRESOURCE,
            (Some(kind), name) => {
                let at = kind.subresources.iter().position(|s| s == name);
                at.and_then(|n| u8::try_from(n).ok())
                    .unwrap_or(OTHER_SUBRESOURCE)
            }
        };
        Self {
            kind: route.kind.clone(),
            verb: route.verb,
            scope: route.scope(),
            dry_run,
            subresource,
        }
    }

    /// The subresource's name; unknown ones are `other`.
    #[must_use]
    pub fn subresource(&self) -> &str {
        match self.subresource {
            NO_SUBRESOURCE => "",
            at => self
                .kind
                .as_ref()
                .and_then(|k| k.subresources.get(usize::from(at)))
                .map_or("other", String::as_str),
        }
    }

    fn mutating(&self) -> bool {
        !matches!(self.verb, "GET" | "LIST" | "WATCH" | "HEAD" | "OPTIONS")
    }
}

/// Requests of one kind: how many by code, and how long they took.
#[derive(Debug, Clone, Default)]
pub struct Count {
    pub codes: Vec<(u16, u64)>,
    /// Not cumulative; the last one has those above every bound.
    pub buckets: [u64; BUCKETS.len() + 1],
    pub seconds: f64,
}

/// Long-running requests that are open.
#[derive(Debug, Clone)]
pub struct Gauge {
    pub labels: Labels,
    pub open: i64,
}

#[derive(Debug, Default)]
struct Inner {
    requests: HashMap<Labels, Count>,
    running: HashMap<Labels, i64>,
}

/// The counters of a server.
#[derive(Debug, Default)]
pub struct Counts {
    inner: Mutex<Inner>,
    inflight: [AtomicI64; 2],
    pub connections: AtomicI64,
    pub connections_total: AtomicU64,
    /// Requests answered without the program.
    pub direct: AtomicU64,
    pub slow_watchers: AtomicU64,
}

impl Counts {
    pub(crate) fn begin(self: &Arc<Self>, labels: Labels) -> Ticking {
        self.gauge(&labels).fetch_add(1, Ordering::Relaxed);
        Ticking {
            counts: Arc::clone(self),
            labels,
            began: std::time::Instant::now(),
            code: 499,
            timed: true,
        }
    }

    fn gauge(&self, labels: &Labels) -> &AtomicI64 {
        let [reading, mutating] = &self.inflight;
        if labels.mutating() { mutating } else { reading }
    }

    fn end(&self, labels: &Labels, code: u16, took: Option<Duration>) {
        self.gauge(labels).fetch_sub(1, Ordering::Relaxed);
        let mut inner = locked(&self.inner);
        let count = match inner.requests.get_mut(labels) {
            Some(count) => count,
            None => inner.requests.entry(labels.clone()).or_default(),
        };
        match count.codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, number)) => *number += 1,
            None => count.codes.push((code, 1)),
        }
        if let Some(took) = took {
            let seconds = took.as_secs_f64();
            count.seconds += seconds;
            let at = BUCKETS.partition_point(|bound| *bound < seconds);
            if let Some(bucket) = count.buckets.get_mut(at) {
                *bucket += 1;
            }
        }
    }

    /// `(reading, mutating)` requests that are being answered.
    #[must_use]
    pub fn inflight(&self) -> (i64, i64) {
        let [reading, mutating] = &self.inflight;
        (
            reading.load(Ordering::Relaxed),
            mutating.load(Ordering::Relaxed),
        )
    }

    /// All counters of requests.
    #[must_use]
    pub fn requests(&self) -> Vec<(Labels, Count)> {
        let inner = locked(&self.inner);
        inner
            .requests
            .iter()
            .map(|(l, c)| (l.clone(), c.clone()))
            .collect()
    }

    /// The long-running requests that are open.
    #[must_use]
    pub fn running(&self) -> Vec<Gauge> {
        let inner = locked(&self.inner);
        let all = inner.running.iter().map(|(labels, open)| Gauge {
            labels: labels.clone(),
            open: *open,
        });
        all.collect()
    }
}

/// A request being answered; counted when dropped.
pub(crate) struct Ticking {
    counts: Arc<Counts>,
    labels: Labels,
    began: std::time::Instant,
    code: u16,
    timed: bool,
}

impl Ticking {
    pub fn code(&mut self, code: u16) {
        self.code = code;
    }

    /// The answer is a stream: its time says nothing.
    pub fn open(&mut self) -> Arc<Open> {
        self.timed = false;
        let mut inner = locked(&self.counts.inner);
        *inner.running.entry(self.labels.clone()).or_default() += 1;
        Arc::new(Open {
            counts: Arc::clone(&self.counts),
            labels: self.labels.clone(),
        })
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        let took = self.timed.then(|| self.began.elapsed());
        self.counts.end(&self.labels, self.code, took);
    }
}

/// An open long-running request.
#[derive(Debug)]
pub(crate) struct Open {
    counts: Arc<Counts>,
    labels: Labels,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut inner = locked(&self.counts.inner);
        if let Some(open) = inner.running.get_mut(&self.labels) {
            *open -= 1;
        }
    }
}
