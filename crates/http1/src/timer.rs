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
    /// Idle since this many ticks, at the count of messages that is told.
    Idle(u8, u32),
    Deadline,
}

/// An idle time is seen by this many ticks of half its length without a new message.
const TICKS: u8 = 2;

impl Timer {
    /// Ready when `messages` has not changed for `period` (up to half of it more).
    ///
    /// It is not reset with each message: only a tick that finds a changed count starts anew.
    pub(crate) fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        messages: u32,
        period: Duration,
    ) -> Poll<()> {
        let half = period / u32::from(TICKS);
        if !matches!(self.use_of, Use::Idle(..)) {
            self.use_of = Use::Idle(0, messages);
            self.restart(half);
        }
        loop {
            let Some(sleep) = &mut self.sleep else {
                return Poll::Pending;
            };
            ready!(sleep.as_mut().poll(cx));
            let ticks = match self.use_of {
                Use::Idle(ticks, seen) if seen == messages => ticks + 1,
                _ => 0,
            };
            if ticks >= TICKS {
                return Poll::Ready(());
            }
            self.use_of = Use::Idle(ticks, messages);
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
