//! Ceilings of a cluster: what is above is refused at once instead of waiting.
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use cloudwright_config::cluster::CircuitBreaker;

/// What a cluster is doing now.
#[derive(Debug, Default)]
pub struct Load {
    pub requests: AtomicU32,
    pub retries: AtomicU32,
}

/// One more of something until it is dropped.
pub struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Counts one more, or `None` when that would be above `limit`.
#[must_use]
pub fn enter(counter: &AtomicU32, limit: u32) -> Option<Counted<'_>> {
    if counter.fetch_add(1, Relaxed) < limit {
        Some(Counted(counter))
    } else {
        counter.fetch_sub(1, Relaxed);
        None
    }
}

impl Load {
    /// A place for one more retry: within the budget, a share of the active requests, or the limit.
    #[must_use]
    pub fn retry(&self, rule: &CircuitBreaker) -> Option<Counted<'_>> {
        let limit = match rule.retry_budget_percent {
            None => rule.max_retries,
            Some(percent) => {
                let share = f64::from(self.requests.load(Relaxed)) * percent / 100.0;
                // Within the range of u32: the share of a u32 count by a checked percentage.
                (share.clamp(0.0, f64::from(u32::MAX)) as u32).max(rule.retry_budget_minimum)
            }
        };
        enter(&self.retries, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_ceiling_is_refused() {
        let counter = AtomicU32::new(0);
        let one = enter(&counter, 2);
        let two = enter(&counter, 2);
        assert!(one.is_some() && two.is_some() && enter(&counter, 2).is_none());
        drop(one);
        assert!(enter(&counter, 2).is_some());
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let rule = CircuitBreaker {
            retry_budget_percent: Some(20.0),
            retry_budget_minimum: 1,
            ..CircuitBreaker::default()
        };
        let load = Load::default();
        let first = load.retry(&rule);
        assert!(first.is_some() && load.retry(&rule).is_none());
        load.requests.store(10, Relaxed);
        let second = load.retry(&rule);
        assert!(second.is_some() && load.retry(&rule).is_none());
    }
}
