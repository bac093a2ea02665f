//! Decides when an endpoint that answers badly is left alone, and for how long. Pure.
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use cloudwright_config::cluster::Outlier;

use super::Endpoint;

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Good,
    /// The application's own error: 500 and the like.
    Error,
    /// No connection, a reset, 502, 503, 504.
    Gateway,
}

impl Answer {
    /// Of an HTTP status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            502..=504 => Self::Gateway,
            500.. => Self::Error,
            _ => Self::Good,
        }
    }

    /// Of a gRPC status.
    #[must_use]
    pub fn of_grpc(code: u32) -> Self {
        match code {
            14 => Self::Gateway,
            2 | 13 | 15 => Self::Error,
            _ => Self::Good,
        }
    }
}

/// Notes an answer; `true` when the endpoint should be ejected now.
#[must_use]
pub fn note(endpoint: &Endpoint, answer: Answer, rule: Option<&Outlier>) -> bool {
    let Some(rule) = rule else {
        return false;
    };
    let answers = &endpoint.answers;
    answers.total.fetch_add(1, Relaxed);
    let exceeded = |count: u32, limit: u32| limit > 0 && count >= limit;
    match answer {
        Answer::Good => {
            answers.errors_in_row.store(0, Relaxed);
            answers.gateway_errors_in_row.store(0, Relaxed);
            false
        }
        Answer::Error => {
            answers.failed.fetch_add(1, Relaxed);
            answers.gateway_errors_in_row.store(0, Relaxed);
            let row = answers.errors_in_row.fetch_add(1, Relaxed) + 1;
            exceeded(row, rule.consecutive_errors)
        }
        Answer::Gateway => {
            answers.failed.fetch_add(1, Relaxed);
            let row = answers.errors_in_row.fetch_add(1, Relaxed) + 1;
            let gateway = answers.gateway_errors_in_row.fetch_add(1, Relaxed) + 1;
            exceeded(row, rule.consecutive_errors)
                || exceeded(gateway, rule.consecutive_gateway_errors)
        }
    }
}

/// How long an endpoint that was ejected `before` times is left alone now.
#[must_use]
pub fn pause(rule: &Outlier, before: u32) -> Duration {
    rule.base_ejection
        .saturating_mul(before.saturating_add(1))
        .min(rule.max_ejection.max(rule.base_ejection))
}

/// Whether one more of `total` may be ejected when `ejected` already are; the first one always.
#[must_use]
pub fn may_eject(rule: &Outlier, ejected: usize, total: usize) -> bool {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    total > 1 && (ejected == 0 || number(ejected + 1) * 100.0 <= rule.max_percent * number(total))
}

/// At the end of an interval: `true` when the share of failures was too high; counters begin anew.
#[must_use]
pub fn interval(endpoint: &Endpoint, rule: &Outlier) -> bool {
    let total = endpoint.answers.total.swap(0, Relaxed);
    let failed = endpoint.answers.failed.swap(0, Relaxed);
    rule.failure_percent > 0.0
        && total >= rule.minimum_requests
        && f64::from(failed) * 100.0 > rule.failure_percent * f64::from(total)
}

#[cfg(test)]
mod tests {
    use cloudwright_config::Endpoint as Model;

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(&Model::at("127.0.0.1:1".parse().unwrap()), 0)
    }

    #[test]
    fn errors_in_a_row_eject() {
        let (one, rule) = (endpoint(), Outlier::default());
        for _ in 0..4 {
            assert!(!note(&one, Answer::Error, Some(&rule)));
        }
        assert!(!note(&one, Answer::Good, Some(&rule)));
        for _ in 0..4 {
            assert!(!note(&one, Answer::Gateway, Some(&rule)));
        }
        assert!(note(&one, Answer::Gateway, Some(&rule)));
        assert!(!note(&one, Answer::Gateway, None));
    }

    #[test]
    fn a_high_share_of_failures_ejects() {
        let rule = Outlier {
            failure_percent: 20.0,
            minimum_requests: 10,
            ..Outlier::default()
        };
        let one = endpoint();
        for turn in 0..12 {
            let answer = if turn % 3 == 0 {
                Answer::Error
            } else {
                Answer::Good
            };
            assert!(!note(&one, answer, Some(&rule)));
        }
        assert!(interval(&one, &rule));
        assert!(!interval(&one, &rule), "counters begin anew");
    }

    #[test]
    fn pauses_grow_and_shares_are_bounded() {
        let rule = Outlier::default();
        assert_eq!(pause(&rule, 0), Duration::from_secs(30));
        assert_eq!(pause(&rule, 2), Duration::from_secs(90));
        assert_eq!(pause(&rule, 100), Duration::from_secs(300));
        assert!(may_eject(&rule, 0, 2) && !may_eject(&rule, 1, 3) && may_eject(&rule, 1, 4));
        assert!(!may_eject(&rule, 0, 1), "the only one stays");
    }
}
