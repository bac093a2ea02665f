//! Chooses an endpoint: round robin, or the less loaded of two random ones.
//!
//! Pure: the random number, the clock and the state of the candidates come in as arguments.
use crate::snapshot::LoadBalancer;

/// What the choice needs to know of one endpoint.
pub trait Candidate {
    /// Requests under way to it from this proxy.
    fn active(&self) -> usize;
    /// Whether it refused connections so recently that it is left alone.
    fn ejected(&self, now_ms: u64) -> bool;
}

/// Picks an index of `candidates`, never one of `tried` while another is left.
///
/// `turn` is the round-robin counter, `random` any random number. Ejected ones are used only when
/// there is no other: a wrong guess must not turn a whole Service off.
pub fn pick<C: Candidate>(
    candidates: &[C],
    tried: &[usize],
    policy: LoadBalancer,
    turn: usize,
    random: u64,
    now_ms: u64,
) -> Option<usize> {
    let fresh = |index: usize| !tried.contains(&index);
    let healthy = |index: usize| {
        candidates
            .get(index)
            .is_some_and(|one| !one.ejected(now_ms))
    };
    let best = |index: usize| fresh(index) && healthy(index);
    choose(candidates, policy, turn, random, best)
        .or_else(|| choose(candidates, policy, turn, random, fresh))
        .or_else(|| choose(candidates, policy, turn, random, healthy))
        .or_else(|| choose(candidates, policy, turn, random, |_| true))
}

fn choose<C: Candidate>(
    candidates: &[C],
    policy: LoadBalancer,
    turn: usize,
    random: u64,
    allowed: impl Fn(usize) -> bool,
) -> Option<usize> {
    let length = candidates.len();
    if length == 0 {
        return None;
    }
    match policy {
        LoadBalancer::RoundRobin => from(length, turn % length, &allowed),
        LoadBalancer::LeastRequest => {
            let low = usize::try_from(random & 0xffff_ffff).unwrap_or(0);
            let high = usize::try_from(random >> 32).unwrap_or(0);
            let one = from(length, low % length, &allowed)?;
            let other = from(
                length,
                (one + 1 + high % length.max(2).saturating_sub(1)) % length,
                &allowed,
            )?;
            let load = |index: usize| candidates.get(index).map_or(usize::MAX, Candidate::active);
            Some(if load(other) < load(one) { other } else { one })
        }
    }
}

/// The first allowed index at or after `start`, around the end.
fn from(length: usize, start: usize, allowed: &impl Fn(usize) -> bool) -> Option<usize> {
    (start..length)
        .chain(0..start)
        .find(|index| allowed(*index))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    struct Fake(usize, bool);

    impl Candidate for Fake {
        fn active(&self) -> usize {
            self.0
        }
        fn ejected(&self, _now_ms: u64) -> bool {
            self.1
        }
    }

    #[test]
    fn round_robin_visits_all_in_turn() {
        let all = vec![Fake(9, false); 3];
        let seen: Vec<_> = (0..6)
            .filter_map(|t| pick(&all, &[], LoadBalancer::RoundRobin, t, 0, 0))
            .collect();
        assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn least_request_with_two_takes_the_less_loaded() {
        let both = [Fake(5, false), Fake(1, false)];
        for random in [0, 1, u64::MAX, 0x1_0000_0000, 0x1_0000_0001] {
            assert_eq!(
                pick(&both, &[], LoadBalancer::LeastRequest, 0, random, 0),
                Some(1)
            );
        }
    }

    proptest! {
        #[test]
        fn never_a_worse_class_than_needed(
            raw in prop::collection::vec((0usize..9, any::<bool>()), 0..8),
            tried in prop::collection::vec(0usize..8, 0..8),
            least in any::<bool>(), turn in any::<usize>(), random in any::<u64>(),
        ) {
            let all: Vec<Fake> = raw.iter().map(|(load, out)| Fake(*load, *out)).collect();
            let policy = if least { LoadBalancer::LeastRequest } else { LoadBalancer::RoundRobin };
            let got = pick(&all, &tried, policy, turn, random, 0);
            prop_assert_eq!(got.is_some(), !all.is_empty());
            if let Some(index) = got {
                let class = |i: usize| (tried.contains(&i), all[i].1);
                let wanted = (0..all.len()).map(class).min().unwrap();
                prop_assert_eq!(class(index), wanted);
            }
        }
    }
}
