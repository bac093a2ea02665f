//! Consistent hashing: a ketama ring and Maglev's table. Pure.
use std::hash::Hasher;

/// Hash of a key, the same in every process and version (FNV-1a with a finisher).
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(bytes);
    hasher.finish()
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // murmur3's finisher: FNV alone leaves the high bits of short keys alike.
        let mut value = self.0;
        value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        value ^ (value >> 33)
    }
}

/// From a hash to a place in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// Points in rising order, each with its owner.
    Ring(Vec<(u64, u32)>),
    /// Owner by `hash % length`.
    Maglev(Vec<u32>),
}

impl Table {
    /// A ring of about `size` points, shared out by weight; each member has at least one.
    #[must_use]
    pub fn ring(members: &[(String, u32)], size: u32) -> Self {
        let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut points = Vec::new();
        for (index, (name, weight)) in (0u32..).zip(members) {
            let share = (u64::from(size) * u64::from(*weight)).div_ceil(total.max(1));
            for copy in 0..share.max(1) {
                points.push((hash(format!("{name}_{copy}").as_bytes()), index));
            }
        }
        points.sort_unstable();
        Self::Ring(points)
    }

    /// Maglev's table of `size` (a prime) places; shares follow the weights.
    #[must_use]
    pub fn maglev(members: &[(String, u32)], size: u32) -> Self {
        let size = u64::from(size.max(2));
        let most = members.iter().map(|(_, weight)| *weight).max().unwrap_or(1);
        let mut walks: Vec<Walk> = members
            .iter()
            .map(|(name, weight)| Walk::new(name, *weight, size))
            .collect();
        let mut table = vec![u32::MAX; usize::try_from(size).unwrap_or(2)];
        let mut left = if walks.is_empty() { 0 } else { table.len() };
        let mut round = 0u64;
        while left > 0 {
            round += 1;
            for (index, walk) in (0u32..).zip(walks.iter_mut()) {
                if left == 0 {
                    break;
                }
                // A member of half the weight takes a place every second round.
                let due = round * u64::from(walk.weight) / u64::from(most.max(1));
                if due <= walk.taken {
                    continue;
                }
                walk.taken += 1;
                left -= usize::from(walk.take(&mut table, size, index));
            }
        }
        Self::Maglev(table)
    }

    /// The owner of `hash`; `None` when the table is empty.
    #[must_use]
    pub fn owner(&self, hash: u64) -> Option<usize> {
        let found = match self {
            Self::Ring(points) => {
                let at = points.partition_point(|(point, _)| *point < hash);
                points
                    .get(at)
                    .or_else(|| points.first())
                    .map(|(_, owner)| *owner)
            }
            Self::Maglev(table) => {
                let length = u64::try_from(table.len()).unwrap_or(1).max(1);
                table
                    .get(usize::try_from(hash % length).unwrap_or(0))
                    .copied()
            }
        };
        found
            .filter(|owner| *owner != u32::MAX)
            .and_then(|owner| usize::try_from(owner).ok())
    }
}

struct Walk {
    offset: u64,
    skip: u64,
    step: u64,
    weight: u32,
    taken: u64,
}

impl Walk {
    fn new(name: &str, weight: u32, size: u64) -> Self {
        Self {
            offset: hash(name.as_bytes()) % size,
            skip: hash(format!("{name}/skip").as_bytes()) % (size - 1) + 1,
            step: 0,
            weight: weight.max(1),
            taken: 0,
        }
    }

    /// Takes the next free place of its own order.
    fn take(&mut self, table: &mut [u32], size: u64, owner: u32) -> bool {
        for _ in 0..size {
            let at = (self.offset + self.skip * self.step) % size;
            self.step += 1;
            if let Ok(at) = usize::try_from(at)
                && let Some(place) = table.get_mut(at)
                && *place == u32::MAX
            {
                *place = owner;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<(String, u32)> {
        (0..)
            .zip(weights)
            .map(|(i, w)| (format!("10.0.0.{i}:80"), *w))
            .collect()
    }

    fn shares(table: &Table, count: usize) -> Vec<f64> {
        let mut hits = vec![0f64; count];
        for key in 0..20_000u32 {
            hits[table.owner(hash(&key.to_le_bytes())).unwrap()] += 1.0 / 20_000.0;
        }
        hits
    }

    #[test]
    fn shares_follow_the_weights() {
        for table in [
            Table::ring(&members(&[1, 1, 2]), 4096),
            Table::maglev(&members(&[1, 1, 2]), 65_537),
        ] {
            let found = shares(&table, 3);
            for (share, wanted) in found.iter().zip([0.25, 0.25, 0.5]) {
                assert!((share - wanted).abs() < 0.05, "{found:?}");
            }
        }
    }

    #[test]
    fn few_keys_move_when_a_member_goes() {
        let (all, less) = (members(&[1; 10]), members(&[1; 9]));
        for (old, new) in [
            (Table::ring(&all, 4096), Table::ring(&less, 4096)),
            (Table::maglev(&all, 65_537), Table::maglev(&less, 65_537)),
        ] {
            let moved = (0..10_000u32)
                .map(|key| hash(&key.to_le_bytes()))
                .filter(|key| old.owner(*key) != Some(9) && old.owner(*key) != new.owner(*key))
                .count();
            assert!(moved < 1_500, "{moved} of 10000 moved");
        }
    }

    #[test]
    fn nobody_owns_an_empty_table() {
        assert_eq!(Table::ring(&[], 100).owner(1), None);
        assert_eq!(Table::maglev(&[], 101).owner(1), None);
    }
}
