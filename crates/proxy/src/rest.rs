//! Notices when the process comes to rest, after its start, a burst or its last request, and lets
//! memory go.
use std::{sync::Arc, time::Duration};

use crate::drain::Drain;

const TICK: Duration = Duration::from_millis(500);
/// So many requests at once are worth giving their memory back at once.
const BURST: usize = 256;
/// Looks without a request until the process is at rest: five seconds.
const QUIET: u32 = 10;

/// What the last looks have seen.
#[derive(Debug, Default)]
struct Rest {
    /// The most requests at once since memory was given back.
    peak: usize,
    /// Requests since the start, at the last look.
    entered: usize,
    /// Looks in a row that saw none.
    quiet: u32,
    /// Something ran since memory was given back.
    used: bool,
    started: bool,
}

impl Rest {
    /// Whether it is time, with `active` requests under way and `entered` since the start.
    fn look(&mut self, active: usize, entered: usize) -> bool {
        let first = !std::mem::replace(&mut self.started, true);
        let still = active == 0 && entered == self.entered;
        self.used |= !still;
        self.quiet = if still {
            self.quiet.saturating_add(1)
        } else {
            0
        };
        self.entered = entered;
        self.peak = self.peak.max(active);
        let over = self.peak >= BURST && active < self.peak / 4;
        let rest = self.used && self.quiet >= QUIET;
        if rest {
            self.used = false;
        }
        if first || over || rest {
            self.peak = active;
            return true;
        }
        false
    }
}

/// Calls `trim` soon after the start, after each burst and at rest.
pub async fn watch(drain: Arc<Drain>, trim: fn()) {
    let mut rest = Rest::default();
    let mut ticks = tokio::time::interval(TICK);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if rest.look(drain.active(), drain.entered()) {
            trim();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_after_the_start_and_after_bursts() {
        let mut rest = Rest::default();
        let mut entered = 0;
        let seen = [0, 10, 0, 1_000, 900, 300, 200, 10, 0];
        let mut look = |active| {
            entered += 1;
            rest.look(active, entered)
        };
        let trims: Vec<bool> = seen.into_iter().map(&mut look).collect();
        let expected = [true, false, false, false, false, false, true, false, false];
        assert_eq!(trims, expected);
    }

    #[test]
    fn memory_is_given_back_once_at_rest() {
        let mut rest = Rest::default();
        assert!(rest.look(0, 0));
        assert!((0..50).all(|_| !rest.look(0, 0)), "nothing ran");
        assert!(
            !rest.look(0, 7),
            "requests that began and ended between two looks"
        );
        let trims = (0..50).filter(|_| rest.look(0, 7)).count();
        assert_eq!(trims, 1);
    }
}
