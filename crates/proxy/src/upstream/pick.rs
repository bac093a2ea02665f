//! The choice of an endpoint for one request or stream. Pure: randomness, clock and turn come in.
use std::sync::Arc;

use cloudwright_config::{Cluster as Config, LoadBalancer};

use super::{
    Endpoint,
    view::{Group, View},
};

/// What a choice depends on besides the endpoints.
pub struct Draw<'a> {
    /// Counter of the cluster's choices.
    pub turn: u64,
    pub random: u64,
    pub now_ms: u64,
    /// Of the request's hash key; a random one when it has none.
    pub hash: Option<u64>,
    /// Endpoints that this request was sent to already.
    pub tried: &'a [Arc<Endpoint>],
}

/// Chooses an endpoint; one that was not tried yet while there is any.
#[must_use]
pub fn pick(view: &View, config: &Config, draw: &Draw<'_>) -> Option<Arc<Endpoint>> {
    let group = view.group(unit(draw.random))?;
    let length = group.endpoints.len();
    let first = choose(group, config, draw)?;
    let tried = |one: &Arc<Endpoint>| draw.tried.iter().any(|old| Arc::ptr_eq(old, one));
    let chosen = group.endpoints.get(first)?;
    if draw.tried.is_empty() || !tried(chosen) {
        return Some(Arc::clone(chosen));
    }
    let around = (first + 1..length).chain(0..first);
    let fresh = around
        .filter_map(|index| group.endpoints.get(index))
        .chain(view.groups.iter().flat_map(|(_, other)| &other.endpoints))
        .find(|one| !tried(one));
    Some(Arc::clone(fresh.unwrap_or(chosen)))
}

/// From 0 to below 1.
fn unit(random: u64) -> f64 {
    // 53 bits are what a double holds.
    (random >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ (value >> 29)
}

fn choose(group: &Group, config: &Config, draw: &Draw<'_>) -> Option<usize> {
    if let Some(table) = &group.table {
        return table.owner(draw.hash.unwrap_or(draw.random));
    }
    if !group.local.is_empty() && unit(mix(draw.random)) < group.local_share {
        let length = u64::try_from(group.local.len()).unwrap_or(1);
        let at = usize::try_from(draw.turn % length).unwrap_or(0);
        return group
            .local
            .get(at)
            .and_then(|index| usize::try_from(*index).ok());
    }
    let mut random = draw.random;
    let mut turn = draw.turn;
    let mut found = None;
    // An endpoint that is slowly started is passed over now and then; some tries are enough.
    for _ in 0..4 {
        let index = one(group, &config.load_balancer, turn, random)?;
        found = Some(index);
        let endpoint = group.endpoints.get(index)?;
        if warm(endpoint, config, draw.now_ms, mix(random ^ turn)) {
            break;
        }
        random = mix(random);
        turn = turn.wrapping_add(1);
    }
    found
}

fn warm(endpoint: &Endpoint, config: &Config, now_ms: u64, random: u64) -> bool {
    let Some(slow) = &config.slow_start else {
        return true;
    };
    let window = slow.window.as_millis() as f64;
    let age = now_ms.saturating_sub(endpoint.since_ms) as f64;
    age >= window || unit(random) < (age / window).max(slow.minimum_percent / 100.0)
}

fn one(group: &Group, rule: &LoadBalancer, turn: u64, random: u64) -> Option<usize> {
    let length = u64::try_from(group.endpoints.len()).ok()?;
    match rule {
        LoadBalancer::RoundRobin => at(group, turn, length),
        LoadBalancer::LeastRequest { choices } => {
            let mut best: Option<usize> = None;
            let mut random = random;
            for _ in 0..*choices {
                let index = weighted(group, random, length)?;
                let better = |old: usize| load(group, index) < load(group, old);
                if best.is_none_or(better) {
                    best = Some(index);
                }
                random = mix(random);
            }
            best
        }
        _ => weighted(group, random, length),
    }
}

fn load(group: &Group, index: usize) -> u32 {
    group
        .endpoints
        .get(index)
        .map_or(u32::MAX, |one| one.active())
}

/// The place of a turn: in order, or spread evenly by weight.
fn at(group: &Group, turn: u64, length: u64) -> Option<usize> {
    if group.sums.is_empty() {
        return usize::try_from(turn.checked_rem(length)?).ok();
    }
    // The golden ratio's multiples are spread evenly: neighbours in time are not neighbours in place.
    weighted(group, turn.wrapping_mul(0x9e37_79b9_7f4a_7c15), length)
}

fn weighted(group: &Group, random: u64, length: u64) -> Option<usize> {
    let scale = |most: u64| (u128::from(random) * u128::from(most)) >> 64;
    match group.sums.last() {
        None => usize::try_from(scale(length)).ok().filter(|_| length > 0),
        Some(total) => {
            let point = u64::try_from(scale(*total)).ok()?;
            Some(group.sums.partition_point(|sum| *sum <= point))
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudwright_config::{
        Address, Endpoint as Model,
        cluster::{SlowStart, ZoneAware},
        endpoint::Locality,
    };

    use super::*;
    use crate::upstream::endpoint::Reason;

    fn endpoints(weights: &[u32]) -> Vec<Arc<Endpoint>> {
        (1u16..)
            .zip(weights)
            .map(|(port, weight)| {
                let address: Address = format!("127.0.0.1:{port}").parse().unwrap();
                let model = Model {
                    weight: *weight,
                    ..Model::at(address)
                };
                Arc::new(Endpoint::new(&model, 0))
            })
            .collect()
    }

    fn shares(all: &[Arc<Endpoint>], config: &Config, now_ms: u64) -> Vec<f64> {
        let view = View::build(all, config);
        let mut random = fastrand::Rng::with_seed(7);
        let mut hits = vec![0.0; all.len()];
        for turn in 0..20_000 {
            let draw = Draw {
                turn,
                random: random.u64(..),
                now_ms,
                hash: None,
                tried: &[],
            };
            let one = pick(&view, config, &draw).unwrap();
            let index = all
                .iter()
                .position(|known| Arc::ptr_eq(known, &one))
                .unwrap();
            hits[index] += 1.0 / 20_000.0;
        }
        hits
    }

    fn close(found: &[f64], wanted: &[f64]) {
        for (one, other) in found.iter().zip(wanted) {
            assert!((one - other).abs() < 0.03, "{found:?} is not {wanted:?}");
        }
    }

    fn rules() -> Vec<LoadBalancer> {
        vec![
            LoadBalancer::RoundRobin,
            LoadBalancer::Random,
            LoadBalancer::LeastRequest { choices: 2 },
        ]
    }

    #[test]
    fn shares_follow_weights_and_health() {
        for rule in rules() {
            let config = Config {
                load_balancer: rule,
                ..Config::named("c")
            };
            let all = endpoints(&[1, 1, 2]);
            close(&shares(&all, &config, 0), &[0.25, 0.25, 0.5]);
            all[2].mark(Reason::Check, true);
            close(&shares(&all, &config, 0), &[0.5, 0.5, 0.0]);
            // With too few left all are used.
            all[1].mark(Reason::Check, true);
            close(&shares(&all, &config, 0), &[0.25, 0.25, 0.5]);
        }
    }

    #[test]
    fn the_less_loaded_is_taken() {
        let config = Config {
            load_balancer: LoadBalancer::LeastRequest { choices: 8 },
            ..Config::named("c")
        };
        let all = endpoints(&[1, 1]);
        (0..5).for_each(|_| all[0].enter());
        assert!(shares(&all, &config, 0)[1] > 0.95);
    }

    #[test]
    fn a_new_endpoint_starts_slowly() {
        let config = Config {
            slow_start: Some(SlowStart {
                window: std::time::Duration::from_secs(10),
                minimum_percent: 10.0,
            }),
            ..Config::named("c")
        };
        let mut all = endpoints(&[1, 1]);
        let model = Model::at("127.0.0.1:9".parse().unwrap());
        all.push(Arc::new(Endpoint::new(&model, 100_000)));
        let young = shares(&all, &config, 100_000)[2];
        assert!((0.01..0.12).contains(&young), "{young}");
        close(&shares(&all, &config, 110_000), &[0.333, 0.333, 0.333]);
    }

    fn placed(zones: &[(&str, u32)]) -> Vec<Arc<Endpoint>> {
        (1u16..)
            .zip(zones)
            .map(|(port, (zone, priority))| {
                let model = Model {
                    locality: Some(Arc::new(Locality {
                        zone: (*zone).into(),
                        ..Locality::default()
                    })),
                    priority: *priority,
                    ..Model::at(format!("127.0.0.1:{port}").parse().unwrap())
                };
                Arc::new(Endpoint::new(&model, 0))
            })
            .collect()
    }

    #[test]
    fn near_ones_are_preferred() {
        let config = Config {
            zone_aware: Some(ZoneAware {
                zone: "a".into(),
                minimum_endpoints: 2,
            }),
            ..Config::named("c")
        };
        let all = placed(&[("a", 0), ("a", 0), ("b", 0), ("b", 0)]);
        close(&shares(&all, &config, 0), &[0.5, 0.5, 0.0, 0.0]);
        let all = placed(&[("a", 0), ("b", 0), ("b", 0), ("b", 0)]);
        let found = shares(&all, &config, 0);
        assert!(found[0] > 0.5 && found[1] > 0.05, "{found:?}");
    }

    #[test]
    fn the_next_priority_helps_out() {
        let all = placed(&[("a", 0), ("a", 0), ("a", 1), ("a", 1)]);
        let config = Config::named("c");
        close(&shares(&all, &config, 0), &[0.5, 0.5, 0.0, 0.0]);
        all[0].mark(Reason::Check, true);
        close(&shares(&all, &config, 0), &[0.0, 0.7, 0.15, 0.15]);
    }

    #[test]
    fn what_was_tried_is_not_taken_again() {
        let all = endpoints(&[1, 1, 1]);
        let config = Config::named("c");
        let view = View::build(&all, &config);
        for turn in 0..9 {
            let tried = [Arc::clone(&all[0]), Arc::clone(&all[2])];
            let draw = Draw {
                turn,
                random: turn,
                now_ms: 0,
                hash: None,
                tried: &tried,
            };
            assert!(Arc::ptr_eq(&pick(&view, &config, &draw).unwrap(), &all[1]));
        }
    }

    #[test]
    fn nobody_is_nobody() {
        let config = Config::named("c");
        let draw = Draw {
            turn: 0,
            random: 0,
            now_ms: 0,
            hash: None,
            tried: &[],
        };
        assert!(pick(&View::build(&[], &config), &config, &draw).is_none());
    }
}
