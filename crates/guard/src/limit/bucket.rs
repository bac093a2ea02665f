//! A token bucket as one atomic number: GCRA, the leaky bucket of ATM (ITU-T I.371).
//!
//! The number is the "theoretical arrival time": when the bucket will be full again. A request
//! may pass when that is at most `burst` intervals ahead of now; passing moves it one interval.
//! So in any window of `t` no more than `burst + rate × t` pass.
use std::sync::atomic::{AtomicU64, Ordering};

/// Ticks in a nanosecond: fine enough that rounding 3,000,000/s up costs 0.003 %, coarse enough
/// for nine years of monotonic clock.
const TICKS: u64 = 64;

/// Rate and burst in the units of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Ticks between two requests at the rate; rounded up, so never more than the rate.
    interval: u64,
    /// Ticks that a full bucket is worth.
    depth: u64,
}

/// What a bucket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Taken.
    Granted,
    /// Not enough; it would be after this many nanoseconds without other callers.
    Wait(u64),
}

impl Pace {
    /// `rate` requests a second, `burst` (≥ 1) at once. Both are taken as checked by
    /// [`RateLimit::check`](crate::config::RateLimit::check) and clamped to what can be counted.
    pub fn new(rate: f64, burst: u64) -> Self {
        let ticks = 1e9 * TICKS as f64 / rate;
        let interval = (ticks.ceil().clamp(1.0, 1e18)) as u64;
        let depth = interval.saturating_mul(burst.max(1)).min(1 << 61);
        Self { interval, depth }
    }

    /// Tokens that are left when the bucket stands at `state`.
    pub fn remaining(&self, state: u64, now_ns: u64) -> u64 {
        let ahead = state.saturating_sub(ticks(now_ns));
        self.depth.saturating_sub(ahead) / self.interval
    }

    /// Nanoseconds until the bucket is full.
    pub fn reset_ns(&self, state: u64, now_ns: u64) -> u64 {
        state.saturating_sub(ticks(now_ns)).div_ceil(TICKS)
    }

    /// Tokens of a full bucket.
    pub fn burst(&self) -> u64 {
        self.depth / self.interval
    }

    /// The state after taking `cost` tokens from `state`, or the ticks that are missing.
    fn step(&self, state: u64, cost: u64, now: u64) -> Result<u64, u64> {
        let after = state
            .max(now)
            .saturating_add(self.interval.saturating_mul(cost));
        let latest = now.saturating_add(self.depth);
        if after > latest {
            Err(after - latest)
        } else {
            Ok(after)
        }
    }
}

/// A point of the monotonic clock in ticks.
pub(super) fn ticks(now_ns: u64) -> u64 {
    now_ns.saturating_mul(TICKS)
}

/// Takes `cost` tokens from the bucket in `cell`; without a lock.
pub(super) fn take(cell: &AtomicU64, pace: &Pace, cost: u64, now_ns: u64) -> (Take, u64) {
    let now = ticks(now_ns);
    let mut state = cell.load(Ordering::Relaxed);
    loop {
        match pace.step(state, cost, now) {
            Err(missing) => return (Take::Wait(missing.div_ceil(TICKS)), state),
            Ok(after) => {
                let swap =
                    cell.compare_exchange_weak(state, after, Ordering::AcqRel, Ordering::Relaxed);
                match swap {
                    Ok(_) => return (Take::Granted, after),
                    Err(current) => state = current,
                }
            }
        }
    }
}

/// Gives back what a [`take`] that left the bucket at `after` took; kept if others took since,
/// because then it cannot be told how much of it time has already given back.
pub(super) fn give_back(cell: &AtomicU64, pace: &Pace, cost: u64, after: u64) {
    let before = after.saturating_sub(pace.interval.saturating_mul(cost));
    let _kept = cell.compare_exchange(after, before, Ordering::AcqRel, Ordering::Relaxed);
}

/// One bucket.
#[derive(Debug, Default)]
pub struct Bucket(pub(super) AtomicU64);

impl Bucket {
    /// Takes `cost` tokens if there are that many.
    pub fn take(&self, pace: &Pace, cost: u64, now_ns: u64) -> Take {
        take(&self.0, pace, cost, now_ns).0
    }

    /// Tokens that are left.
    pub fn remaining(&self, pace: &Pace, now_ns: u64) -> u64 {
        pace.remaining(self.0.load(Ordering::Relaxed), now_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_million_a_second_on_a_clock_of_milliseconds() {
        let pace = Pace::new(1e6, 100_000);
        let bucket = Bucket::default();
        let mut granted = 0u64;
        for ms in 0..1000u64 {
            // 1,500 come in each millisecond: half as many again as the rate.
            for _ in 0..1500 {
                if bucket.take(&pace, 1, ms * 1_000_000) == Take::Granted {
                    granted += 1;
                }
            }
        }
        assert_eq!(granted, 100_000 + 999 * 1000);
    }

    #[test]
    fn says_exactly_when_to_come_back() {
        let pace = Pace::new(0.5, 2);
        let bucket = Bucket::default();
        assert_eq!(bucket.take(&pace, 1, 0), Take::Granted);
        assert_eq!(bucket.take(&pace, 1, 0), Take::Granted);
        assert_eq!(bucket.take(&pace, 1, 5), Take::Wait(2_000_000_000 - 5));
        assert_eq!(bucket.take(&pace, 1, 1_999_999_999), Take::Wait(1));
        assert_eq!(bucket.take(&pace, 1, 2_000_000_000), Take::Granted);
        assert_eq!(bucket.remaining(&pace, 2_000_000_000), 0);
        assert_eq!(bucket.remaining(&pace, 6_000_000_000), 2);
    }

    #[test]
    fn more_than_the_burst_is_never_granted() {
        let pace = Pace::new(10.0, 5);
        assert!(matches!(
            Bucket::default().take(&pace, 6, 1 << 40),
            Take::Wait(_)
        ));
        assert_eq!(Bucket::default().take(&pace, 5, 1 << 40), Take::Granted);
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        let pace = Pace::new(1000.0, 500);
        let bucket = Arc::new(Bucket::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                std::thread::spawn(move || {
                    (0..2000u64)
                        .filter(|step| bucket.take(&pace, 1, step * 10_000) == Take::Granted)
                        .count()
                })
            })
            .collect();
        let granted: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        // 20 ms at 1,000 a second are 20 tokens more.
        assert!((500..=520).contains(&granted), "{granted}");
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_burst_and_rate(
            rate in 0.5f64..5e6,
            burst in 1u64..50,
            gaps in prop::collection::vec(0u64..3_000_000, 1..200),
        ) {
            let pace = Pace::new(rate, burst);
            let bucket = Bucket::default();
            let mut now = 7u64;
            let mut grants = Vec::new();
            for gap in gaps {
                now += gap;
                match bucket.take(&pace, 1, now) {
                    Take::Granted => grants.push(now),
                    Take::Wait(ns) => {
                        // The hint is exact: a nanosecond earlier it is refused, then granted.
                        let copy = Bucket(AtomicU64::new(bucket.0.load(Ordering::Relaxed)));
                        prop_assert_ne!(copy.take(&pace, 1, now + ns - 1), Take::Granted);
                        prop_assert_eq!(copy.take(&pace, 1, now + ns), Take::Granted);
                    }
                }
            }
            for (i, from) in grants.iter().enumerate() {
                for (j, to) in grants.iter().enumerate().skip(i) {
                    let allowed = burst as f64 + rate * (to - from) as f64 / 1e9;
                    prop_assert!((j - i + 1) as f64 <= allowed + 1e-6);
                }
            }
        }

        #[test]
        fn what_is_given_back_can_be_taken_again(
            rate in 1f64..1e6, burst in 1u64..100, taken in 0u64..100, now in 0u64..1 << 50,
        ) {
            let pace = Pace::new(rate, burst);
            let bucket = Bucket::default();
            for _ in 0..taken {
                bucket.take(&pace, 1, now);
            }
            let before = bucket.remaining(&pace, now);
            if let (Take::Granted, after) = take(&bucket.0, &pace, 1, now) {
                give_back(&bucket.0, &pace, 1, after);
            }
            prop_assert_eq!(bucket.remaining(&pace, now), before);
        }
    }
}
