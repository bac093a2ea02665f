//! Many buckets in bounded memory, without a lock.
//!
//! A table is an array of sets of eight slots; a key's hash names its set. A slot is the hash
//! and the bucket: 16 bytes. A bucket that time has filled again says the same as no bucket, so
//! its slot is free to take; only when all eight of a set are *busy* is one lost, the one that
//! is nearest to full. There are two slots for each key that is to be remembered, which makes
//! that rare (3 in 1,000 keys of a table as full as it may get).
//!
//! Memory is taken in pages of 1 KiB when first needed.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bucket::{self, Pace, Take, ticks};

const WAYS: usize = 8;
const SETS_PER_PAGE: usize = 8;
const MIN_SETS: usize = 8;

/// One key's bucket; hash 0 is nobody.
#[derive(Debug, Default)]
struct Slot {
    hash: AtomicU64,
    state: AtomicU64,
}

type Page = Box<[Slot]>;

/// Buckets by the hash of a key.
#[derive(Debug)]
pub struct Table {
    pages: Box<[OnceLock<Page>]>,
    mask: usize,
}

impl Table {
    /// A table for `keys` busy keys.
    pub fn new(keys: usize) -> Self {
        let sets = (keys.saturating_mul(2) / WAYS)
            .next_power_of_two()
            .max(MIN_SETS);
        Self {
            pages: (0..sets / SETS_PER_PAGE).map(|_| OnceLock::new()).collect(),
            mask: sets - 1,
        }
    }

    /// Bytes in use for slots, and at most.
    pub fn memory(&self) -> (usize, usize) {
        let page = SETS_PER_PAGE * WAYS * size_of::<Slot>();
        let used = self
            .pages
            .iter()
            .filter(|page| page.get().is_some())
            .count();
        (used * page, self.pages.len() * page)
    }

    fn set(&self, hash: u64) -> &[Slot] {
        // The low bits choose the set; the whole hash is compared.
        let index = hash as usize & self.mask;
        let Some(page) = self.pages.get(index / SETS_PER_PAGE) else {
            return &[];
        };
        let page =
            page.get_or_init(|| (0..SETS_PER_PAGE * WAYS).map(|_| Slot::default()).collect());
        let from = index % SETS_PER_PAGE * WAYS;
        page.get(from..from + WAYS).unwrap_or(&[])
    }

    /// The bucket of `hash`, made if need be.
    pub(super) fn cell(&self, hash: u64, now_ns: u64) -> Option<&AtomicU64> {
        let hash = hash.max(1);
        let set = self.set(hash);
        let found = |slot: &&Slot| slot.hash.load(Ordering::Acquire) == hash;
        if let Some(slot) = set.iter().find(found) {
            return Some(&slot.state);
        }
        self.claim(set, hash, ticks(now_ns))?;
        // Two threads may have claimed a slot each for one key: both use the first.
        let first = set.iter().find(found)?;
        for other in set
            .iter()
            .filter(found)
            .filter(|slot| !std::ptr::eq(*slot, first))
        {
            let _gone = other
                .hash
                .compare_exchange(hash, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        Some(&first.state)
    }

    /// Takes the slot that loses least over for `hash`. None if others were faster every time.
    fn claim(&self, set: &[Slot], hash: u64, now: u64) -> Option<()> {
        for _ in 0..4 * WAYS {
            let victim = set.iter().min_by_key(|slot| {
                let old = slot.hash.load(Ordering::Acquire);
                let busy = slot.state.load(Ordering::Relaxed).saturating_sub(now);
                if old == 0 { 0 } else { busy.saturating_add(1) }
            })?;
            let old = victim.hash.load(Ordering::Acquire);
            let state = victim.state.load(Ordering::Relaxed);
            let swap = victim
                .hash
                .compare_exchange(old, hash, Ordering::AcqRel, Ordering::Acquire);
            if swap.is_ok() {
                if state > now {
                    // Not a plain store: somebody may already have taken for the new key.
                    let _taken = victim.state.compare_exchange(
                        state,
                        0,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                }
                return Some(());
            }
        }
        None
    }

    /// Takes `cost` tokens from the bucket of `hash`.
    pub fn take(&self, hash: u64, pace: &Pace, cost: u64, now_ns: u64) -> Take {
        match self.cell(hash, now_ns) {
            Some(cell) => bucket::take(cell, pace, cost, now_ns).0,
            None => Take::Granted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn spread(key: u64) -> u64 {
        key.wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
    }

    #[test]
    fn a_hundred_thousand_clients_are_told_apart_in_four_megabytes() {
        let table = Table::new(100_000);
        assert_eq!(table.memory().0, 0);
        assert!(table.memory().1 <= 8 << 20, "{:?}", table.memory());
        let pace = Pace::new(1.0, 1);
        for client in 0..100_000 {
            table.take(spread(client), &pace, 1, 0);
        }
        let again = (0..100_000)
            .filter(|client| table.take(spread(*client), &pace, 1, 1) == Take::Granted)
            .count();
        // Only those that were pushed out of a set of eight busy ones.
        assert!(again < 1000, "{again}");
    }

    #[test]
    fn full_buckets_make_room_and_nothing_is_lost() {
        let table = Table::new(1);
        let pace = Pace::new(1000.0, 1);
        for round in 0..1000u64 {
            // One set only, every slot used again when its bucket is full.
            assert_eq!(
                table.take((round << 32) | 8, &pace, 1, round * 1_000_000),
                Take::Granted
            );
        }
        assert_eq!(table.memory(), (1024, 1024));
    }

    #[test]
    fn threads_share_the_bucket_of_a_new_key() {
        for round in 1..200u64 {
            let table = Arc::new(Table::new(64));
            let pace = Pace::new(1.0, 5);
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let table = Arc::clone(&table);
                    std::thread::spawn(move || {
                        (0..10)
                            .filter(|_| table.take(round, &pace, 1, 0) == Take::Granted)
                            .count()
                    })
                })
                .collect();
            let granted: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
            assert!((5..=8).contains(&granted), "{granted}");
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_of_buckets(
            steps in prop::collection::vec((0u64..20, 0u64..2_000_000), 1..300),
        ) {
            let table = Table::new(1000);
            let pace = Pace::new(1000.0, 3);
            let mut model = std::collections::HashMap::<u64, super::super::Bucket>::new();
            let mut now = 0;
            for (key, gap) in steps {
                now += gap;
                let expected = model.entry(key).or_default().take(&pace, 1, now);
                prop_assert_eq!(table.take(spread(key), &pace, 1, now), expected);
            }
        }
    }
}
