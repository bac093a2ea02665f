//! Deadlines that cost nothing while nothing is late.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// One timer of a connection, made when it first has to wait and kept.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    use_of: Use,
}

/// What the timer runs for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Nothing,
    Quiet {
        of: Quiet,
        ticks: u8,
        count: u32,
    },
    Deadline,
}

/// What should not be quiet for too long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// Requests on a connection.
    Connection,
    /// The body of a request.
    Body,
    /// A peer that takes our response.
    Peer,
}

/// A quiet time is seen by this many ticks of half its length without progress.
const TICKS: u8 = 2;

impl Timer {
    /// Ready when `count` (of whatever moves on) has not changed for `period`, at the latest
    /// after one and a half of it.
    ///
    /// It is not reset with each change: only a tick that finds a changed count starts anew.
    pub(crate) fn poll_quiet(
        &mut self,
        cx: &mut Context<'_>,
        of: Quiet,
        count: u32,
        period: Duration,
    ) -> Poll<()> {
        let half = period / u32::from(TICKS);
        if !matches!(self.use_of, Use::Quiet { of: before, .. } if before == of) {
            self.use_of = Use::Quiet {
                of,
                ticks: 0,
                count,
            };
            self.restart(half);
        }
        loop {
            let Some(sleep) = &mut self.sleep else {
                return Poll::Pending;
            };
            ready!(sleep.as_mut().poll(cx));
            let ticks = match self.use_of {
                Use::Quiet {
                    ticks, count: seen, ..
                } if seen == count => ticks + 1,
                _ => 0,
            };
            if ticks >= TICKS {
                return Poll::Ready(());
            }
            self.use_of = Use::Quiet { of, ticks, count };
            self.restart(half);
        }
    }

    /// Ready `period` after the first call since [`Timer::stop`] or another use.
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>, period: Duration) -> Poll<()> {
        if self.use_of != Use::Deadline {
            self.use_of = Use::Deadline;
            self.restart(period);
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// End a deadline: the next use starts anew.
    pub(crate) fn stop(&mut self) {
        if self.use_of == Use::Deadline {
            self.use_of = Use::Nothing;
        }
    }

    fn restart(&mut self, period: Duration) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(Instant::now() + period),
            None => self.sleep = Some(Box::pin(sleep(period))),
        }
    }
}
