//! The hash of keys and tokens: fast, and seeded anew in each process so that nobody outside
//! can choose values that meet.
use std::hash::{BuildHasher, Hash};
use std::sync::OnceLock;

use foldhash::quality::RandomState;

/// 64 bits of `value` under the seed of this process.
pub(crate) fn of<T: Hash + ?Sized>(value: &T) -> u64 {
    static SEED: OnceLock<RandomState> = OnceLock::new();
    SEED.get_or_init(RandomState::default).hash_one(value)
}
