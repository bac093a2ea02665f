//! Calls under way: what is to be written to the host, and who waits for which answer.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use slab::Slab;
use tokio::sync::{Notify, watch};

use crate::event::{Event, Report};
use crate::host::Options;
use crate::protocol::{self, FilterResult, Outcomes, Reply};
use crate::table::Table;

/// Bytes that may wait to be written; beyond it calls fail at once.
const QUEUE_AT_MOST: usize = 8 << 20;
/// Exchanges that may be known to the host at the same time.
const EXCHANGES_AT_MOST: usize = 65_536;

/// What both the proxy's tasks and the socket's task hold.
pub(crate) struct Shared {
    pub table: ArcSwap<Table>,
    pub link: Mutex<Link>,
    pub options: Options,
    /// A call took too long: the supervisor looks whether the host is stuck.
    pub late: Notify,
    /// How often the host was up; 0 before the first announcement.
    pub loaded: watch::Sender<u64>,
}

/// The state of the connection.
#[derive(Default)]
pub(crate) struct Link {
    /// The host has announced its filters and takes calls.
    pub up: bool,
    /// Frames to be written.
    pub out: Vec<u8>,
    /// Wakes the socket's task.
    pub io: Option<Waker>,
    /// The host's process, to be signalled.
    pub process: Option<Arc<OwnedFd>>,
    /// Since when the host owes an answer and gave none.
    pub owing: Option<Instant>,
    /// Answers that it owes.
    pub owed: usize,
    /// The filters of the first call that came too late since the last answer.
    pub overdue: Option<Vec<u32>>,
    exchanges: Slab<Exchange>,
    serial: u32,
}

struct Exchange {
    serial: u32,
    sides: [Side; 2],
    /// The host keeps it until it is told the end.
    kept: bool,
}

/// One direction of an exchange.
enum Side {
    Idle,
    Waiting(Option<Waker>),
    Done(Given),
}

/// An answer of the host, out of its buffer.
#[derive(Debug)]
pub(crate) enum Given {
    Continue(Bytes),
    Respond(Bytes, bool),
    Chunk(Bytes),
    Lost,
}

/// Why no call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// There is no host now, or not the one that knows this exchange.
    Down,
    /// Too much is under way, or the message is too large.
    Full,
}

impl Link {
    /// The number of a new exchange.
    pub fn begin(&mut self) -> Result<u64, NotSent> {
        if !self.up {
            return Err(NotSent::Down);
        }
        if self.exchanges.len() >= EXCHANGES_AT_MOST {
            return Err(NotSent::Full);
        }
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let sides = [Side::Idle, Side::Idle];
        let key = self.exchanges.insert(Exchange {
            serial,
            sides,
            kept: false,
        });
        Ok((u64::from(serial) << 32) | key as u64)
    }

    /// Write a call with `encode` and wait for its answer, unless it is a silent one.
    pub fn call(
        &mut self,
        exchange: u64,
        answering: bool,
        flags: u8,
        encode: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Result<(), NotSent> {
        if !self.up || self.exchange(exchange).is_none() {
            return Err(NotSent::Down);
        }
        if self.out.len() > QUEUE_AT_MOST || !encode(&mut self.out) {
            return Err(NotSent::Full);
        }
        if let Some(known) = self.exchange(exchange) {
            known.kept |= flags & protocol::KEEP != 0;
            if flags & protocol::SILENT == 0 {
                known.sides[usize::from(answering)] = Side::Waiting(None);
                self.owed += 1;
                if self.owing.is_none() {
                    self.owing = Some(Instant::now());
                }
            }
        }
        self.wake();
        Ok(())
    }

    /// Nobody asks about this exchange any more.
    pub fn end(&mut self, exchange: u64) {
        if self.exchange(exchange).is_none() {
            return;
        }
        let known = self.exchanges.remove(key_of(exchange));
        if known.kept && self.up {
            protocol::end(&mut self.out, exchange);
            self.wake();
        }
    }

    /// The host is gone: everybody who waits is told.
    pub fn down(&mut self) {
        self.up = false;
        self.process = None;
        self.owing = None;
        self.owed = 0;
        self.out = Vec::new();
        for (_, exchange) in &mut self.exchanges {
            for side in &mut exchange.sides {
                if let Side::Waiting(waker) = side {
                    let waker = waker.take();
                    *side = Side::Done(Given::Lost);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            }
        }
        // No exchange of before is known to the next host; their owners still hold numbers, which
        // no longer lead anywhere once they have seen their last answer.
        self.exchanges.retain(|_, exchange| {
            exchange.kept = false;
            exchange
                .sides
                .iter()
                .any(|side| matches!(side, Side::Done(_)))
        });
    }

    /// Wake the socket's task: there is something to write.
    pub fn wake(&mut self) {
        if let Some(io) = &self.io {
            io.wake_by_ref();
        }
    }

    fn exchange(&mut self, exchange: u64) -> Option<&mut Exchange> {
        let serial = (exchange >> 32) as u32;
        self.exchanges
            .get_mut(key_of(exchange))
            .filter(|known| known.serial == serial)
    }

    fn answered(&mut self, exchange: u64, answering: bool, given: Given) {
        self.owed = self.owed.saturating_sub(1);
        self.owing = (self.owed > 0).then(Instant::now);
        self.overdue = None;
        if let Some(known) = self.exchange(exchange)
            && let Some(side) = known.sides.get_mut(usize::from(answering))
            && let Side::Waiting(waker) = side
        {
            let waker = waker.take();
            *side = Side::Done(given);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

fn key_of(exchange: u64) -> usize {
    (exchange & 0xFFFF_FFFF) as usize
}

impl Shared {
    /// The state of the connection. A panic while it was held left it whole enough: it holds only
    /// counters and queues.
    pub fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hand an answer to whoever waits for it, and count its outcomes.
    pub fn answer(&self, exchange: u64, answering: bool, outcomes: Outcomes<'_>, reply: Reply<'_>) {
        let failed = outcomes.clone().any(|outcome| {
            matches!(
                outcome.result,
                FilterResult::Failed | FilterResult::TimedOut
            )
        });
        let responded = outcomes
            .clone()
            .any(|outcome| outcome.result == FilterResult::Responded);
        self.count(outcomes);
        let given = match reply {
            Reply::Continue(bytes) => Given::Continue(Bytes::copy_from_slice(bytes)),
            Reply::Respond(bytes) => {
                Given::Respond(Bytes::copy_from_slice(bytes), failed && !responded)
            }
            Reply::Chunk(bytes) => Given::Chunk(Bytes::copy_from_slice(bytes)),
            Reply::Lost => Given::Lost,
        };
        self.link().answered(exchange, answering, given);
    }

    fn count(&self, outcomes: Outcomes<'_>) {
        use std::sync::atomic::Ordering::Relaxed;

        let table = self.table.load();
        for outcome in outcomes {
            let Some(rule) = table.rules.iter().find(|rule| rule.id == outcome.filter) else {
                continue;
            };
            let state = &rule.state;
            state.ran(outcome.nanoseconds);
            let counter = match outcome.result {
                FilterResult::Done => {
                    state.succeeded();
                    continue;
                }
                FilterResult::Responded => {
                    state.succeeded();
                    state.answers.fetch_add(1, Relaxed);
                    continue;
                }
                FilterResult::Failed => &state.errors,
                FilterResult::TimedOut => &state.timeouts,
            };
            counter.fetch_add(1, Relaxed);
            let effect = if rule.refuse {
                &state.refusals
            } else {
                &state.bypasses
            };
            effect.fetch_add(1, Relaxed);
            self.failed(state, false, || {
                String::from_utf8_lossy(outcome.message).into_owned()
            });
        }
    }

    /// A filter failed: its budget, and a line in the log.
    pub fn failed(
        &self,
        state: &crate::stats::FilterState,
        fatal: bool,
        message: impl FnOnce() -> String,
    ) {
        let report = &self.options.report;
        if state.failed(fatal) {
            report(Event::CircuitOpened {
                filter: Arc::clone(&state.name),
            });
        }
        if state.may_report() {
            report(Event::FilterFailed {
                filter: Arc::clone(&state.name),
                message: message(),
            });
        }
    }

    /// The way to tell an operator something.
    pub fn report(&self) -> &Report {
        &self.options.report
    }
}

/// Waits for the answer of one call.
pub(crate) struct Waiting {
    pub shared: Arc<Shared>,
    pub exchange: u64,
    pub answering: bool,
}

impl Future for Waiting {
    type Output = Given;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Given> {
        let mut link = self.shared.link();
        let Some(known) = link.exchange(self.exchange) else {
            return Poll::Ready(Given::Lost);
        };
        let Some(side) = known.sides.get_mut(usize::from(self.answering)) else {
            return Poll::Ready(Given::Lost);
        };
        match std::mem::replace(side, Side::Idle) {
            Side::Done(given) => Poll::Ready(given),
            Side::Waiting(_) => {
                *side = Side::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            Side::Idle => Poll::Ready(Given::Lost),
        }
    }
}
