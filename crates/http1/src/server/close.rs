//! Asking a connection from elsewhere to end.

use std::sync::{Mutex, Weak};

use super::shared::{Shared, lock};

/// Ends its connection gracefully, from whatever task holds it.
pub struct Closer<I> {
    pub(super) shared: Weak<Mutex<Shared<I>>>,
}

impl<I> Clone for Closer<I> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<I> Closer<I> {
    /// The response under way or the next one is the last; an idle connection ends at once.
    pub fn graceful_shutdown(&self) {
        if let Some(shared) = self.shared.upgrade() {
            let waiting = {
                let mut shared = lock(&shared);
                shared.closing = true;
                shared.waiting.take()
            };
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }

    /// Whether the connection is gone.
    pub fn is_gone(&self) -> bool {
        self.shared.strong_count() == 0
    }
}
