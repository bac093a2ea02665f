//! Verified tokens, so that a repeated one costs no signature. Bounded: sets of four by hash, and
//! the one that is expired or unused for longest makes room. Whole tokens are compared.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Token;
use crate::hash;

const WAYS: usize = 4;

pub(super) struct Cache {
    sets: Mutex<Sets>,
    capacity: usize,
}

#[derive(Default)]
struct Sets {
    /// Empty until first used, then `capacity` long.
    slots: Vec<Option<Entry>>,
    clock: u64,
}

struct Entry {
    hash: u64,
    text: Box<str>,
    token: Arc<Token>,
    used: u64,
}

impl Cache {
    /// A cache for about `tokens` tokens; 0 remembers none.
    pub(super) const fn new(tokens: usize) -> Self {
        let capacity = if tokens == 0 {
            0
        } else {
            let tokens = if tokens > 1 << 20 { 1 << 20 } else { tokens };
            tokens.next_multiple_of(WAYS)
        };
        Self {
            sets: Mutex::new(Sets {
                slots: Vec::new(),
                clock: 0,
            }),
            capacity,
        }
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn range(&self, hash: u64) -> std::ops::Range<usize> {
        let sets = (self.capacity / WAYS).max(1) as u64;
        let from = (hash % sets) as usize * WAYS;
        from..from + WAYS
    }

    /// The token of exactly this text.
    pub(super) fn get(&self, text: &str) -> Option<Arc<Token>> {
        if self.capacity == 0 {
            return None;
        }
        let hash = hash::of(text);
        let mut sets = self.sets();
        sets.clock += 1;
        let clock = sets.clock;
        let entry = sets
            .slots
            .get_mut(self.range(hash))?
            .iter_mut()
            .flatten()
            .find(|entry| entry.hash == hash && *entry.text == *text)?;
        entry.used = clock;
        Some(Arc::clone(&entry.token))
    }

    /// Remembers a token.
    pub(super) fn put(&self, text: &str, token: &Arc<Token>, unix: u64) {
        if self.capacity == 0 {
            return;
        }
        let hash = hash::of(text);
        let mut sets = self.sets();
        if sets.slots.is_empty() {
            sets.slots.resize_with(self.capacity, || None);
        }
        let clock = sets.clock;
        let victim = sets.slots.get_mut(self.range(hash)).and_then(|set| {
            set.iter_mut().min_by_key(|slot| match slot {
                None => 0,
                Some(entry) if entry.token.expires < unix => 1,
                Some(entry) => entry.used + 2,
            })
        });
        if let Some(slot) = victim {
            *slot = Some(Entry {
                hash,
                text: text.into(),
                token: Arc::clone(token),
                used: clock,
            });
        }
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.sets().slots.iter_mut().for_each(|slot| *slot = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(expires: u64) -> Arc<Token> {
        let claims = serde_json::json!({"exp": expires, "sub": "x"});
        Arc::new(Token::new(claims.as_object().unwrap().clone(), None, Vec::new()).unwrap())
    }

    #[test]
    fn remembers_a_bounded_number() {
        let cache = Cache::new(8);
        for i in 0..1000 {
            cache.put(&format!("t{i}"), &token(10), 0);
        }
        let kept = (0..1000)
            .filter(|i| cache.get(&format!("t{i}")).is_some())
            .count();
        assert_eq!(kept, 8);
        cache.clear();
        assert!(cache.get("t999").is_none());
    }

    #[test]
    fn the_used_stay_and_the_expired_go() {
        let cache = Cache::new(4);
        for (name, expires) in [("a", 100), ("old", 5), ("c", 100), ("d", 100)] {
            cache.put(name, &token(expires), 0);
        }
        for name in ["old", "d", "a"] {
            cache.get(name).unwrap();
        }
        cache.put("e", &token(100), 50);
        assert!(cache.get("old").is_none());
        cache.put("f", &token(100), 50);
        assert!(cache.get("c").is_none() && cache.get("a").is_some());
    }

    #[test]
    fn none_of_none() {
        let cache = Cache::new(0);
        cache.put("a", &token(100), 0);
        assert!(cache.get("a").is_none());
    }
}
