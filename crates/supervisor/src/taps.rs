//! Who follows a container's output live, beside its log.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::logs::Stream;

/// A piece of output and where it was written.
pub type Piece = (Stream, Rc<[u8]>);

/// Pieces (of at most 32 KiB) that wait for one follower.
const WAITING: usize = 16;
/// So long does a follower that reads nothing hold the container's output up; then it is left behind.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Taps {
    all: RefCell<Vec<mpsc::Sender<Piece>>>,
    closed: Cell<bool>,
}

// === impl Taps ===

impl Taps {
    /// Everything from now on. The receiver ends with the container's output, or when its reader was too slow.
    pub fn open(&self) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(WAITING);
        if !self.closed.get() {
            self.all.borrow_mut().push(sender);
        }
        receiver
    }

    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Gives a piece to every follower, waiting for slow ones as long as our patience lasts.
    pub async fn give(&self, stream: Stream, data: Rc<[u8]>) {
        let all: Vec<_> = self.all.borrow().clone();
        for sender in all {
            let sent = sender.send((stream, Rc::clone(&data)));
            if !matches!(tokio::time::timeout(PATIENCE, sent).await, Ok(Ok(()))) {
                self.all
                    .borrow_mut()
                    .retain(|other| !other.same_channel(&sender));
            }
        }
    }

    /// There is no more output.
    pub fn close(&self) {
        self.closed.set(true);
        self.all.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn every_follower_gets_every_piece_until_the_end() {
        run(async {
            let taps = Taps::default();
            let (mut one, mut two) = (taps.open(), taps.open());
            taps.give(Stream::Stdout, Rc::from(b"a".as_slice())).await;
            taps.give(Stream::Stderr, Rc::from(b"b".as_slice())).await;
            taps.close();
            for receiver in [&mut one, &mut two] {
                assert_eq!(receiver.recv().await.unwrap().1.as_ref(), b"a");
                assert_eq!(
                    receiver.recv().await.unwrap(),
                    (Stream::Stderr, b"b".as_slice().into())
                );
                assert!(receiver.recv().await.is_none());
            }
            assert!(taps.open().recv().await.is_none());
        });
    }

    #[test]
    fn who_reads_nothing_is_left_behind_and_the_others_go_on() {
        run(async {
            let taps = Taps::default();
            let (mut slow, mut quick) = (taps.open(), taps.open());
            let writing = async {
                for number in 0..100_u8 {
                    taps.give(Stream::Stdout, Rc::from([number].as_slice()))
                        .await;
                }
                taps.close();
            };
            let reading = async {
                let mut seen = Vec::new();
                while let Some((_, data)) = quick.recv().await {
                    seen.extend_from_slice(&data);
                }
                seen
            };
            let ((), seen) = tokio::join!(writing, reading);
            assert_eq!(seen, (0..100).collect::<Vec<u8>>());
            let mut kept = 0;
            while slow.recv().await.is_some() {
                kept += 1;
            }
            assert_eq!(kept, WAITING);
        });
    }

    #[test]
    fn a_follower_that_is_gone_is_forgotten() {
        run(async {
            let taps = Taps::default();
            drop(taps.open());
            taps.give(Stream::Stdout, Rc::from(b"a".as_slice())).await;
            assert!(taps.is_empty());
        });
    }
}
