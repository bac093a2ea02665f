//! Refusals of the same thing are sent at a slow pace: some servers answer each with the same again,
//! at once, and both sides would be busy with nothing else.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{kind::Kind, message::Request};

/// Time between two refusals for one and the same reason.
const PACE: Duration = Duration::from_secs(1);

/// What is held back, and what was refused last.
#[derive(Debug, Default)]
pub struct Pacing {
    last: BTreeMap<Kind, String>,
    held: BTreeMap<Kind, (Instant, Request)>,
}

impl Pacing {
    /// Takes requests; those that may be sent at once come back.
    pub fn take(&mut self, now: Instant, requests: Vec<Request>) -> Vec<Request> {
        let mut out = Vec::with_capacity(requests.len());
        for request in requests {
            let kind = request.kind;
            match &request.error {
                Some(reason) if self.last.get(&kind) == Some(reason) => {
                    self.held.insert(kind, (now + PACE, request));
                    continue;
                }
                Some(reason) => {
                    self.last.insert(kind, reason.clone());
                    self.held.remove(&kind);
                }
                // An answer, or a whole subscription, says all that the held one would.
                None if !request.nonce.is_empty() => {
                    self.last.remove(&kind);
                    self.held.remove(&kind);
                }
                None => {}
            }
            out.push(request);
        }
        out
    }

    /// When `due` has something.
    pub fn next(&self) -> Option<Instant> {
        self.held.values().map(|(at, _)| *at).min()
    }

    /// What was held back long enough.
    pub fn due(&mut self, now: Instant) -> Vec<Request> {
        let all = std::mem::take(&mut self.held).into_iter();
        let (ready, rest): (BTreeMap<_, _>, _) = all.partition(|(_, (at, _))| *at <= now);
        self.held = rest;
        ready.into_values().map(|(_, request)| request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Names;

    fn request(kind: Kind, nonce: &str, error: Option<&str>) -> Request {
        Request {
            kind,
            nonce: nonce.into(),
            error: error.map(ToOwned::to_owned),
            node: false,
            names: Names::Whole {
                names: Vec::new(),
                version: "".into(),
            },
        }
    }

    #[test]
    fn the_same_refusal_waits() {
        let (mut pacing, now) = (Pacing::default(), Instant::now());
        let bad = |nonce| vec![request(Kind::Cluster, nonce, Some("bad"))];
        assert_eq!(pacing.take(now, bad("1")).len(), 1);
        assert_eq!(pacing.next(), None);
        assert_eq!(pacing.take(now, bad("2")), []);
        assert_eq!(pacing.take(now, bad("3")), []);
        assert_eq!(pacing.next(), Some(now + PACE));
        assert_eq!(pacing.due(now), []);
        let due = pacing.due(now + PACE);
        assert_eq!(due, bad("3"));
        assert_eq!(pacing.next(), None);
    }

    #[test]
    fn what_is_accepted_or_refused_for_another_reason_does_not() {
        let (mut pacing, now) = (Pacing::default(), Instant::now());
        let refuse = |reason| vec![request(Kind::Cluster, "1", Some(reason))];
        pacing.take(now, refuse("bad"));
        assert_eq!(pacing.take(now, refuse("worse")).len(), 1);
        pacing.take(now, refuse("worse"));
        assert!(pacing.next().is_some());
        let accepted = vec![request(Kind::Cluster, "2", None)];
        assert_eq!(pacing.take(now, accepted).len(), 1);
        assert_eq!(pacing.next(), None);
        let other = vec![request(Kind::Routes, "2", Some("worse"))];
        assert_eq!(pacing.take(now, other).len(), 1);
        assert_eq!(pacing.take(now, refuse("worse")).len(), 1);
    }
}
