//! A filter's error budget: after too many failures it is not asked for a while, then tried with
//! one request. Time is a parameter: pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::declaration::Budget;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Not asked until then.
    Open(Instant),
    /// One request was let through; another one after this moment.
    Trying(Instant),
}

/// The state of one filter's budget.
#[derive(Debug)]
pub struct Circuit {
    errors: usize,
    window: Duration,
    open: Duration,
    failures: VecDeque<Instant>,
    state: State,
}

impl Circuit {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX / 4);
        Self {
            errors: budget.errors as usize,
            window: seconds(budget.window_s),
            open: seconds(budget.open_s),
            failures: VecDeque::new(),
            state: State::Closed,
        }
    }

    /// Whether the filter may be asked now. After the pause one request is; its outcome decides,
    /// and without an outcome another one is tried after the next pause.
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(until) | State::Trying(until) if now < until => false,
            State::Open(_) | State::Trying(_) => {
                self.state = State::Trying(now + self.open);
                true
            }
        }
    }

    /// Whether every request may pass without a look at the time.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The filter did its work.
    pub fn success(&mut self) {
        if let State::Trying(_) = self.state {
            self.state = State::Closed;
            self.failures.clear();
        }
    }

    /// The filter failed; whether this opened the circuit.
    pub fn failure(&mut self, now: Instant) -> bool {
        if self.errors == 0 {
            return false;
        }
        match self.state {
            State::Open(_) => false,
            State::Trying(_) => self.trip(now),
            State::Closed => {
                self.failures.push_back(now);
                while self
                    .failures
                    .front()
                    .is_some_and(|first| now - *first > self.window)
                {
                    self.failures.pop_front();
                }
                self.failures.len() >= self.errors && self.trip(now)
            }
        }
    }

    /// Open at once; always true.
    pub fn trip(&mut self, now: Instant) -> bool {
        self.state = State::Open(now + self.open);
        self.failures.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(errors: u32) -> (Circuit, Instant) {
        (
            Circuit::new(Budget {
                errors,
                window_s: 10.0,
                open_s: 5.0,
            }),
            Instant::now(),
        )
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn opens_after_as_many_failures_as_declared() {
        let (mut circuit, start) = circuit(3);
        assert!(!circuit.failure(start));
        assert!(!circuit.failure(start + SECOND));
        assert!(circuit.admit(start + SECOND));
        assert!(circuit.failure(start + SECOND));
        assert!(!circuit.admit(start + 2 * SECOND));
    }

    #[test]
    fn forgets_failures_older_than_the_window() {
        let (mut circuit, start) = circuit(2);
        assert!(!circuit.failure(start));
        assert!(!circuit.failure(start + 11 * SECOND));
        assert!(circuit.is_closed());
    }

    #[test]
    fn tries_one_request_after_the_pause_and_closes_when_it_works() {
        let (mut circuit, start) = circuit(1);
        assert!(circuit.failure(start));
        let later = start + 6 * SECOND;
        assert!(circuit.admit(later));
        assert!(
            !circuit.admit(later),
            "a second request while the first is tried"
        );
        circuit.success();
        assert!(circuit.is_closed() && circuit.admit(later));
    }

    #[test]
    fn opens_again_when_the_trial_fails_and_tries_again_when_it_is_lost() {
        let (mut circuit, start) = circuit(1);
        circuit.failure(start);
        assert!(circuit.admit(start + 6 * SECOND));
        assert!(circuit.failure(start + 6 * SECOND));
        assert!(!circuit.admit(start + 10 * SECOND));
        assert!(circuit.admit(start + 12 * SECOND));
        assert!(
            circuit.admit(start + 18 * SECOND),
            "the trial had no outcome"
        );
    }

    #[test]
    fn never_opens_without_a_budget() {
        let (mut circuit, start) = circuit(0);
        assert!((0..1000).all(|_| !circuit.failure(start)));
        assert!(circuit.admit(start));
    }
}
