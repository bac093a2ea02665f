//! Who may be chosen now: made anew whenever an endpoint's health changes, read by every request.
use std::sync::Arc;

use cloudwright_config::{Cluster as Config, LoadBalancer};

use super::{Endpoint, hashing::Table};

/// Healthy endpoints count for 1.4 of their share before the next priority helps out (as Envoy).
const OVERPROVISION: f64 = 1.4;

/// The endpoints of one choice, with what the choice needs.
#[derive(Default)]
pub struct Group {
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Running sums of the weights; empty when all are equal.
    pub sums: Vec<u64>,
    pub table: Option<Table>,
    /// Indexes of the own zone, and the share of requests that stays in it.
    pub local: Vec<u32>,
    pub local_share: f64,
}

/// The choice of priorities: shares of 1 in rising priority.
#[derive(Default)]
pub struct View {
    pub groups: Vec<(f64, Group)>,
    pub total: usize,
    pub well: usize,
    /// So few are well that health is not looked at.
    pub panic: bool,
}

impl View {
    /// The view of `all` under the rules of `config`.
    #[must_use]
    pub fn build(all: &[Arc<Endpoint>], config: &Config) -> Self {
        let well = all.iter().filter(|one| one.well()).count();
        let mut view = Self {
            total: all.len(),
            well,
            ..Self::default()
        };
        let mut levels: Vec<u32> = all.iter().map(|one| one.priority).collect();
        levels.sort_unstable();
        levels.dedup();
        let share_well = ratio(well, all.len());
        view.panic = well == 0 || share_well * 100.0 < config.panic_percent;
        let mut left = 1.0f64;
        for level in levels {
            let members = || all.iter().filter(|one| one.priority == level);
            let usable: Vec<Arc<Endpoint>> = members()
                .filter(|one| view.panic || one.well())
                .cloned()
                .collect();
            let health = (ratio(usable.len(), members().count()) * OVERPROVISION).min(1.0);
            let share = health.min(left);
            if share > 0.0 && !usable.is_empty() {
                left -= share;
                view.groups.push((share, Group::build(usable, config)));
            }
            if left <= 1e-9 {
                break;
            }
        }
        // What nobody takes is shared out among those that are there.
        let given: f64 = view.groups.iter().map(|(share, _)| share).sum();
        for (share, _) in &mut view.groups {
            *share /= given;
        }
        view
    }

    /// The group for a random number from 0 to below 1.
    #[must_use]
    pub fn group(&self, point: f64) -> Option<&Group> {
        let mut sum = 0.0;
        for (share, group) in &self.groups {
            sum += share;
            if point < sum {
                return Some(group);
            }
        }
        self.groups.last().map(|(_, group)| group)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        number(part) / number(whole)
    }
}

impl Group {
    fn build(endpoints: Vec<Arc<Endpoint>>, config: &Config) -> Self {
        let named = || -> Vec<(String, u32)> {
            endpoints
                .iter()
                .map(|one| (one.address.to_string(), one.weight()))
                .collect()
        };
        let table = match config.load_balancer {
            LoadBalancer::RingHash { size } => Some(Table::ring(&named(), size)),
            LoadBalancer::Maglev { size } => Some(Table::maglev(&named(), size)),
            _ => None,
        };
        let first = endpoints.first().map_or(1, |one| one.weight());
        let sums = if endpoints.iter().all(|one| one.weight() == first) {
            Vec::new()
        } else {
            endpoints
                .iter()
                .scan(0u64, |sum, one| {
                    *sum += u64::from(one.weight());
                    Some(*sum)
                })
                .collect()
        };
        let mut group = Self {
            endpoints,
            sums,
            table,
            local: Vec::new(),
            local_share: 0.0,
        };
        group.prefer_zone(config);
        group
    }

    /// The own zone serves what it can without being loaded more than the others.
    fn prefer_zone(&mut self, config: &Config) {
        let Some(aware) = &config.zone_aware else {
            return;
        };
        let enough = usize::try_from(aware.minimum_endpoints).unwrap_or(usize::MAX);
        if self.endpoints.len() < enough {
            return;
        }
        let near = |one: &Arc<Endpoint>| {
            one.locality
                .as_ref()
                .is_some_and(|place| place.zone == aware.zone)
        };
        self.local = (0u32..)
            .zip(&self.endpoints)
            .filter(|(_, one)| near(one))
            .map(|(index, _)| index)
            .collect();
        let mut zones: Vec<&str> = self
            .endpoints
            .iter()
            .map(|one| one.locality.as_ref().map_or("", |place| &*place.zone))
            .collect();
        zones.sort_unstable();
        zones.dedup();
        // Callers are taken to be spread evenly over the zones.
        let fair = ratio(self.endpoints.len(), zones.len().max(1));
        let own = ratio(self.local.len(), 1);
        self.local_share = if fair > 0.0 {
            (own / fair).min(1.0)
        } else {
            0.0
        };
    }
}
