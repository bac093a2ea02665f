//! When a JWKS behind a URL is fetched: by age, when a token names an unknown key, and again
//! after a failure, never more often than every few seconds. The caller does the fetching.
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;

/// Between two fetches that unknown keys ask for: nobody makes us flood the issuer.
const COOL_DOWN: u64 = 10_000_000_000;
/// After the first failure; doubled with each further one, up to the refresh interval.
const FIRST_RETRY: u64 = 1_000_000_000;

/// What has to be fetched: `GET uri` from a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The cluster with the endpoints.
    pub cluster: String,
    /// Scheme, authority (`host` header) and path.
    pub uri: Uri,
    /// How long it may take.
    pub timeout: Duration,
}

impl Fetch {
    pub(super) const fn new(cluster: String, uri: Uri, timeout: Duration) -> Self {
        Self {
            cluster,
            uri,
            timeout,
        }
    }
}

/// The schedule of one JWKS.
#[derive(Debug)]
pub struct Refresh {
    fetch: Fetch,
    interval: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the next fetch is due.
    due: u64,
    /// When the last one began.
    begun: Option<u64>,
    in_flight: bool,
    failures: u32,
}

impl Refresh {
    pub(super) fn new(fetch: Fetch, interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Self {
            fetch,
            interval: interval.max(FIRST_RETRY),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a token needs a key that is not there. True if an answer is on its way or may
    /// be asked for now, so that waiting for it makes sense.
    pub fn want(&self, now_ns: u64) -> bool {
        let mut state = self.state();
        let cool = state
            .begun
            .is_none_or(|begun| now_ns >= begun.saturating_add(COOL_DOWN));
        if cool && !state.in_flight {
            state.due = state.due.min(now_ns);
        }
        state.in_flight || state.due <= now_ns
    }

    /// The fetch to begin now, if one is due. Its outcome goes to [`done`](Self::done).
    pub fn begin(&self, now_ns: u64) -> Option<Fetch> {
        let mut state = self.state();
        if state.in_flight || now_ns < state.due {
            return None;
        }
        state.in_flight = true;
        state.begun = Some(now_ns);
        Some(self.fetch.clone())
    }

    /// When to ask [`begin`](Self::begin) again; None while a fetch is under way.
    pub fn next(&self) -> Option<u64> {
        let state = self.state();
        (!state.in_flight).then_some(state.due)
    }

    /// The outcome of a fetch.
    pub(crate) fn done(&self, ok: bool, now_ns: u64) {
        let mut state = self.state();
        state.in_flight = false;
        let wait = if ok {
            state.failures = 0;
            self.interval
        } else {
            let wait = FIRST_RETRY << state.failures.min(16);
            state.failures += 1;
            wait.min(self.interval)
        };
        state.due = now_ns.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn refresh() -> Refresh {
        let uri = Uri::from_static("https://id.example/keys");
        let fetch = Fetch::new("id".into(), uri, Duration::from_secs(1));
        Refresh::new(fetch, Duration::from_secs(300))
    }

    #[test]
    fn fetches_at_once_then_by_age() {
        let refresh = refresh();
        assert!(refresh.begin(0).is_some());
        assert!(refresh.begin(0).is_none() && refresh.next().is_none());
        refresh.done(true, S);
        assert_eq!(refresh.next(), Some(301 * S));
        assert!(refresh.begin(300 * S).is_none());
        assert!(refresh.begin(301 * S).is_some());
    }

    #[test]
    fn unknown_keys_bring_it_forward_but_not_often() {
        let refresh = refresh();
        refresh.begin(0).unwrap();
        assert!(refresh.want(S / 2), "one is on its way");
        refresh.done(true, S);
        assert!(!refresh.want(2 * S));
        assert!(refresh.begin(2 * S).is_none());
        assert!(refresh.want(10 * S));
        assert!(refresh.begin(10 * S).is_some());
        refresh.done(true, 11 * S);
        assert!(!refresh.want(12 * S));
    }

    #[test]
    fn failures_are_tried_again_slower_and_slower() {
        let refresh = refresh();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..11 {
            refresh.begin(now).unwrap();
            refresh.done(false, now);
            let next = refresh.next().unwrap();
            waits.push((next - now) / S);
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
