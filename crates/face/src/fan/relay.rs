//! Wake-ups of the HTTP server's tasks from other threads: one for many.
use std::{sync::Mutex, task::Waker};

use tokio::sync::Notify;

use crate::inbox::locked;

pub(super) type Woken = Vec<Waker>;

/// Each wake-up from another thread is a system call; tasks that are woken by a task are not.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    wakers: Mutex<Woken>,
    bell: Notify,
}

impl Relay {
    pub fn wake(&self, mut woken: Woken) {
        match woken.len() {
            0 => return,
            1 => {
                woken.into_iter().for_each(Waker::wake);
                return;
            }
            _ => {}
        }
        let mut wakers = locked(&self.wakers);
        wakers.append(&mut woken);
        drop(wakers);
        self.bell.notify_one();
    }

    /// Wakes for ever.
    pub async fn run(&self) {
        loop {
            self.bell.notified().await;
            for waker in std::mem::take(&mut *locked(&self.wakers)) {
                waker.wake();
            }
        }
    }
}
