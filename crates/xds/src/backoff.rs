//! Pauses between attempts: doubled each time, with jitter, so that a restarted server is not met by
//! all its proxies at once.
use std::time::Duration;

/// The next pause.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins with `first`, never above `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// Something went well: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after another failure: from half of the doubled time up to all of it.
    pub fn next(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures.min(30));
        self.failures = self.failures.saturating_add(1);
        let whole = self.first.saturating_mul(factor).min(self.most);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_begin_anew() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, most);
        for step in 0..40_u32 {
            let whole = first
                .saturating_mul(2_u32.saturating_pow(step.min(20)))
                .min(most);
            let pause = backoff.next();
            assert!(pause >= whole / 2 && pause <= whole, "{step}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
