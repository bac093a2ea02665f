//! What a connection and the body of its current request have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::chunked::Step;
use crate::decode::Decoder;
use crate::error::{Error, Fault};
use crate::input::poll_input;
use crate::limits::Limits;
use crate::timer::{Quiet, Timer};

/// The interim answer to `expect: 100-continue`.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub(super) struct Shared<I> {
    /// `None` after an upgrade handed it out.
    pub(super) io: Option<I>,
    pub(super) input: Bytes,
    pub(super) decoder: Decoder,
    /// Which request this is: a body of an earlier one reads nothing.
    pub(super) request: u32,
    /// The client waits for 100 (Continue).
    pub(super) expects: bool,
    /// What is left to write of it.
    pub(super) interim: &'static [u8],
    pub(super) fault: Option<Fault>,
    /// The next response is the last.
    pub(super) closing: bool,
    /// Who waits for the next request.
    pub(super) waiting: Option<Waker>,
    pub(super) limits: Arc<Limits>,
    pub(super) timer: Timer,
    /// Reads that brought something.
    reads: u32,
}

pub(super) type Handle<I> = Arc<Mutex<Shared<I>>>;

/// The lock is never held across a call of foreign code: a poisoned one is as good.
pub(super) fn lock<I>(shared: &Mutex<Shared<I>>) -> MutexGuard<'_, Shared<I>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I: AsyncRead + AsyncWrite + Unpin> Shared<I> {
    pub(super) fn new(io: I, input: Bytes, limits: Arc<Limits>) -> Self {
        Self {
            io: Some(io),
            input,
            decoder: Decoder::Done,
            request: 0,
            expects: false,
            interim: b"",
            fault: None,
            closing: false,
            waiting: None,
            limits,
            timer: Timer::default(),
            reads: 0,
        }
    }

    /// Read once; 0 at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        let io = self.io.as_mut().ok_or(Error::Gone)?;
        let count = ready!(poll_input(io, cx, &mut self.input))?;
        self.reads = self.reads.wrapping_add(1);
        Poll::Ready(Ok(count))
    }

    /// The next piece of the request's body, or the fault that it takes too long.
    pub(super) fn poll_timely_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Error>> {
        if let Poll::Ready(step) = self.poll_body(cx) {
            return Poll::Ready(step);
        }
        let period = self.limits.body_timeout;
        ready!(self.timer.poll_quiet(cx, Quiet::Body, self.reads, period));
        self.fault = Some(Fault::BodyTimeout);
        Poll::Ready(Err(Fault::BodyTimeout.into()))
    }

    /// The next piece of the request's body; asks for it with 100 (Continue) if need be.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Error>> {
        loop {
            match self.decoder.step(&mut self.input, &self.limits) {
                Ok(Step::More) => {}
                Ok(step) => return Poll::Ready(Ok(step)),
                Err(fault) => {
                    self.fault = Some(fault);
                    return Poll::Ready(Err(fault.into()));
                }
            }
            if let Some(fault) = self.fault {
                return Poll::Ready(Err(fault.into()));
            }
            if std::mem::take(&mut self.expects) {
                self.interim = CONTINUE;
            }
            ready!(self.poll_interim(cx))?;
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(Error::Truncated));
            }
        }
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let io = self.io.as_mut().ok_or(Error::Gone)?;
        while !self.interim.is_empty() {
            let count = ready!(std::pin::Pin::new(&mut *io).poll_write(cx, self.interim))?;
            if count == 0 {
                return Poll::Ready(Err(Error::Gone));
            }
            self.interim = self.interim.get(count..).unwrap_or_default();
            if self.interim.is_empty() {
                ready!(std::pin::Pin::new(&mut *io).poll_flush(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Remember who is to be woken when the connection shall close.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waiting = Some(cx.waker().clone()),
        }
    }
}
