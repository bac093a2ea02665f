//! Answers on their way from the program's thread to the server's: one wake-up for many.
use std::sync::Mutex;

use tokio::sync::{Notify, oneshot};

use crate::{answer::Answer, inbox::locked};

type Letter = (oneshot::Sender<Answer>, Answer);

/// The queue and its bell.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    letters: Mutex<Vec<Letter>>,
    bell: Notify,
}

impl Outbox {
    /// False: the client is gone.
    pub fn send(&self, to: oneshot::Sender<Answer>, answer: Answer) -> bool {
        if to.is_closed() {
            return false;
        }
        let mut letters = locked(&self.letters);
        letters.push((to, answer));
        let first = letters.len() == 1;
        drop(letters);
        if first {
            self.bell.notify_one();
        }
        true
    }

    /// Delivers for ever.
    pub async fn run(&self) {
        loop {
            self.bell.notified().await;
            for (to, answer) in std::mem::take(&mut *locked(&self.letters)) {
                // A client that left meanwhile needs no answer.
                let _ = to.send(answer);
            }
        }
    }
}
