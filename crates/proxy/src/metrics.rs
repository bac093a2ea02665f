//! Counters and histograms of a proxy, rendered as Prometheus text.
//!
//! The number of series is bounded: what comes after the limit is counted under `other`.
use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use crate::record::Record;

const MAX_SERIES: usize = 1000;
const BOUNDS_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    direction: &'static str,
    service: Arc<str>,
    class: u16,
    peer: Arc<str>,
}

#[derive(Debug, Default, Clone)]
struct Series {
    count: u64,
    sum: f64,
    buckets: [u64; BOUNDS_SECONDS.len()],
}

/// All metrics of one process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<HashMap<Key, Series>>,
    pub retries: AtomicU64,
    pub connections_open: AtomicI64,
    pub connections_total: AtomicU64,
    pub upstream_connections: AtomicI64,
    pub handshakes_rejected: AtomicU64,
    pub outbound_refused: AtomicU64,
    pub snapshot_rejected: AtomicU64,
    pub certificate_rejected: AtomicU64,
    pub dns_queries: AtomicU64,
}

/// Values that live elsewhere and are read at scrape time.
pub struct Gauges {
    pub snapshot_version: u64,
    pub certificate_expiry: i64,
    pub log_dropped: u64,
    pub active: usize,
}

impl Metrics {
    /// Counts one finished request.
    pub fn request(&self, record: &Record, seconds: f64) {
        let mut all = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key {
            direction: record.direction,
            service: Arc::clone(&record.service),
            class: record.status / 100,
            peer: Arc::clone(&record.peer),
        };
        if all.len() >= MAX_SERIES && !all.contains_key(&key) {
            key.service = Arc::from("other");
            key.peer = Arc::from("other");
        }
        let series = all.entry(key).or_default();
        series.count += 1;
        series.sum += seconds;
        let at = BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = series.buckets.get_mut(at) {
            *bucket += 1;
        }
    }

    /// The text of `GET /metrics`.
    #[must_use]
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut out = String::new();
        self.render_requests(&mut out);
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed) as f64;
        let signed = |value: &AtomicI64| value.load(Ordering::Relaxed) as f64;
        for (name, kind, value) in [
            ("retries_total", "counter", load(&self.retries)),
            ("connections_open", "gauge", signed(&self.connections_open)),
            (
                "connections_total",
                "counter",
                load(&self.connections_total),
            ),
            (
                "upstream_connections_open",
                "gauge",
                signed(&self.upstream_connections),
            ),
            (
                "handshakes_rejected_total",
                "counter",
                load(&self.handshakes_rejected),
            ),
            (
                "outbound_refused_total",
                "counter",
                load(&self.outbound_refused),
            ),
            ("dns_queries_total", "counter", load(&self.dns_queries)),
            (
                "snapshot_rejected_total",
                "counter",
                load(&self.snapshot_rejected),
            ),
            (
                "certificate_rejected_total",
                "counter",
                load(&self.certificate_rejected),
            ),
            ("snapshot_version", "gauge", gauges.snapshot_version as f64),
            (
                "certificate_expiry_seconds",
                "gauge",
                gauges.certificate_expiry as f64,
            ),
            (
                "access_log_dropped_total",
                "counter",
                gauges.log_dropped as f64,
            ),
            ("requests_active", "gauge", gauges.active as f64),
        ] {
            let _ = writeln!(out, "# TYPE cloudwright_proxy_{name} {kind}");
            let _ = writeln!(out, "cloudwright_proxy_{name} {value}");
        }
        out
    }

    fn render_requests(&self, out: &mut String) {
        let all = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<&Key> = all.keys().collect();
        keys.sort_unstable();
        let _ = writeln!(out, "# TYPE cloudwright_proxy_requests_total counter");
        for key in &keys {
            let count = all.get(*key).map_or(0, |series| series.count);
            let _ = writeln!(
                out,
                "cloudwright_proxy_requests_total{{{}}} {count}",
                labels(key)
            );
        }
        let name = "cloudwright_proxy_request_duration_seconds";
        let _ = writeln!(out, "# TYPE {name} histogram");
        for key in &keys {
            let Some(series) = all.get(*key) else {
                continue;
            };
            let labels = labels(key);
            let mut sum = 0;
            for (bound, count) in BOUNDS_SECONDS.iter().zip(series.buckets) {
                sum += count;
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {sum}");
            }
            let _ = writeln!(
                out,
                "{name}_bucket{{{labels},le=\"+Inf\"}} {}",
                series.count
            );
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", series.sum);
            let _ = writeln!(out, "{name}_count{{{labels}}} {}", series.count);
        }
    }
}

fn labels(key: &Key) -> String {
    let (namespace, account) = match key.peer.split_once("/ns/") {
        Some((_, rest)) => rest.split_once("/sa/").unwrap_or((rest, "")),
        None => (&*key.peer, ""),
    };
    format!(
        "direction=\"{}\",service=\"{}\",code=\"{}\",peer_namespace=\"{namespace}\",peer=\"{account}\"",
        key.direction,
        key.service,
        if key.class == 0 {
            "none".to_owned()
        } else {
            format!("{}xx", key.class)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        let mut record = Record::new("outbound");
        for index in 0..MAX_SERIES + 500 {
            record.service = format!("s{index}").into();
            metrics.request(&record, 0.002);
        }
        assert_eq!(metrics.requests.lock().unwrap().len(), MAX_SERIES + 1);
        let gauges = Gauges {
            snapshot_version: 7,
            certificate_expiry: 0,
            log_dropped: 0,
            active: 0,
        };
        let text = metrics.render(&gauges);
        assert!(
            text.contains(
                "service=\"other\",code=\"none\",peer_namespace=\"other\",peer=\"\"} 500"
            )
        );
        assert!(text.contains("cloudwright_proxy_snapshot_version 7"));
    }

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        let mut record = Record::new("inbound");
        record.status = 200;
        record.peer = "spiffe://d/ns/shop/sa/web".into();
        for seconds in [0.0001, 0.002, 9.0] {
            metrics.request(&record, seconds);
        }
        let gauges = Gauges {
            snapshot_version: 0,
            certificate_expiry: 0,
            log_dropped: 0,
            active: 0,
        };
        let text = metrics.render(&gauges);
        let labels =
            "direction=\"inbound\",service=\"\",code=\"2xx\",peer_namespace=\"shop\",peer=\"web\"";
        for (le, count) in [("0.0005", 1), ("0.0025", 2), ("5", 2), ("+Inf", 3)] {
            let line = format!("_bucket{{{labels},le=\"{le}\"}} {count}");
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}
