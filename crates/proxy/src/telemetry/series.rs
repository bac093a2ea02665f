//! Requests of one route: counts by status class and a histogram of durations.
//!
//! A request finds its series through its route, without a look-up; the number of series is that of
//! the routes in force, up to a limit.
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const MOST: usize = 20_000;
const BOUNDS_MICROS: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// The numbers of one route.
#[derive(Debug, Default)]
pub struct Series {
    /// By hundreds of the status; 0 is a request that got none.
    classes: [AtomicU64; 6],
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    micros: AtomicU64,
}

impl Series {
    /// Counts one finished request.
    pub fn count(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100);
        if let Some(counter) = self.classes.get(class).or_else(|| self.classes.first()) {
            counter.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        let at = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Requests with a status of this class (4 is 4xx).
    #[must_use]
    pub fn class(&self, class: usize) -> u64 {
        self.classes
            .get(class)
            .map_or(0, |counter| counter.load(Relaxed))
    }
}

/// All series by listener-independent route label.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<Arc<str>, Arc<Series>>>);

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Series>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of a route; beyond the limit that of `other`.
    #[must_use]
    pub fn get(&self, label: &Arc<str>) -> Arc<Series> {
        let mut all = self.lock();
        if let Some(known) = all.get(label) {
            return Arc::clone(known);
        }
        let label = if all.len() < MOST {
            Arc::clone(label)
        } else {
            "other".into()
        };
        Arc::clone(all.entry(label).or_default())
    }

    /// Prometheus' text format; routes without requests are left out.
    pub fn render(&self, out: &mut String) {
        let all: Vec<_> = self
            .lock()
            .iter()
            .map(|(k, v)| (Arc::clone(k), Arc::clone(v)))
            .collect();
        let used = |series: &Series| (0..6).any(|class| series.class(class) > 0);
        let all: Vec<_> = all.into_iter().filter(|(_, series)| used(series)).collect();
        let requests = "cloudwright_proxy_route_requests_total";
        let _ = writeln!(out, "# TYPE {requests} counter");
        for (label, series) in &all {
            let label = escaped(label);
            for class in 0..6 {
                let count = series.class(class);
                if count > 0 {
                    let code = if class == 0 {
                        "none".to_owned()
                    } else {
                        format!("{class}xx")
                    };
                    let _ = writeln!(
                        out,
                        "{requests}{{route=\"{label}\",code=\"{code}\"}} {count}"
                    );
                }
            }
        }
        let name = "cloudwright_proxy_route_duration_seconds";
        let _ = writeln!(out, "# TYPE {name} histogram");
        for (label, series) in &all {
            let label = escaped(label);
            let mut sum = 0;
            for (at, bucket) in series.buckets.iter().enumerate() {
                sum += bucket.load(Relaxed);
                let bound = BOUNDS_MICROS.get(at).map_or("+Inf".to_owned(), |micros| {
                    (*micros as f64 / 1e6).to_string()
                });
                let _ = writeln!(
                    out,
                    "{name}_bucket{{route=\"{label}\",le=\"{bound}\"}} {sum}"
                );
            }
            let seconds = series.micros.load(Relaxed) as f64 / 1e6;
            let _ = writeln!(out, "{name}_sum{{route=\"{label}\"}} {seconds}");
            let _ = writeln!(out, "{name}_count{{route=\"{label}\"}} {sum}");
        }
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cumulative_and_escaped() {
        let registry = Registry::default();
        let series = registry.get(&"a\"b".into());
        series.count(200, Duration::from_micros(600));
        series.count(503, Duration::from_secs(60));
        let _ = registry.get(&"unused".into());
        let mut text = String::new();
        registry.render(&mut text);
        for line in [
            "requests_total{route=\"a\\\"b\",code=\"2xx\"} 1",
            "_bucket{route=\"a\\\"b\",le=\"0.0005\"} 0",
            "_bucket{route=\"a\\\"b\",le=\"0.001\"} 1",
            "_bucket{route=\"a\\\"b\",le=\"+Inf\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("unused"));
    }
}
