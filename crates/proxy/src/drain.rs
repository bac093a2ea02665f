//! The end of a proxy's life: phases, and the count of what is still under way.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// Serving, then draining (old connections are sent away), then stopping (no new ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    Draining,
    Stopping,
    /// Never announced: listeners that wait for it stay open to the last.
    Ended,
}

/// Shared by listeners, connections and the admin socket.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    active: AtomicUsize,
    entered: AtomicUsize,
    idle: Notify,
}

/// One request or tunnel under way; dropping it ends the count.
#[derive(Debug)]
pub struct Active(Arc<Drain>);

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            active: AtomicUsize::new(0),
            entered: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }
}

impl Drain {
    /// Moves to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns once `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        let _ = receiver.wait_for(|now| *now >= phase).await;
    }

    /// Counts one more request or tunnel.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.entered.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Requests and tunnels since the start.
    #[must_use]
    pub fn entered(&self) -> usize {
        self.entered.load(Ordering::Relaxed)
    }

    /// Waits until nothing is under way; `false` when the time is over first.
    pub async fn wait_idle(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let idle = self.idle.notified();
                if self.active() == 0 {
                    return;
                }
                idle.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_after_the_last_one_left() {
        let drain = Arc::new(Drain::default());
        let one = drain.enter();
        assert!(!drain.wait_idle(Duration::from_millis(1)).await);
        drop(one);
        assert!(drain.wait_idle(Duration::from_millis(1)).await);
    }

    #[test]
    fn phases_never_go_back() {
        let drain = Drain::default();
        drain.advance(Phase::Stopping);
        drain.advance(Phase::Draining);
        assert_eq!(drain.phase(), Phase::Stopping);
    }
}
