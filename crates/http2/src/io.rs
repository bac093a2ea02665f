//! The transport's side of a connection: reads in large pieces, one write per turn, timers.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep};

use crate::config::KeepAlive;
use crate::error::{Error, Fatal};
use crate::frame::{self, HEAD, Head, PREFACE, kind};
use crate::pool;
use crate::state::{Payload, Phase, Role, Shared, State, remember};

/// Payloads of DATA from this size on are cut out of the read buffer instead of copied.
const CUT: usize = 4096;
/// Reads in one turn before others get theirs.
const READS: usize = 8;
const KEEP_ALIVE_PING: [u8; 8] = *b"keepaliv";

/// A connection with its transport.
#[derive(Debug)]
pub(crate) struct Conn<T> {
    io: T,
    pub(crate) shared: Arc<Shared>,
    input: BytesMut,
    /// Octets of the client's preface that are still to come (server).
    preface: usize,
    eof: bool,
    unflushed: bool,
    shut: bool,
    timer: Option<Box<Timer>>,
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// The transport will wake the task, or nothing more comes.
    Waits,
    /// There may be more at once; others are to have their turn.
    More,
    /// Too much waits to be written.
    Held,
}

#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    idle: Duration,
    timeout: Duration,
    with_streams_only: bool,
    last: Instant,
    /// A ping is out.
    waiting: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Conn<T> {
    pub(crate) fn new(io: T, state: State, read: Bytes) -> Self {
        let timer = state.config.keep_alive.map(Timer::new);
        let preface = if state.role == Role::Server {
            PREFACE.len()
        } else {
            0
        };
        Self {
            io,
            shared: Shared::new(state),
            input: BytesMut::from(read),
            preface,
            eof: false,
            unflushed: false,
            shut: false,
            timer,
        }
    }

    /// Do all that can be done: read and process frames, write what waits.
    ///
    /// Ready when a request waits to be accepted (`true`) or the connection is over (`false`).
    pub(crate) fn poll_turn(
        &mut self,
        state: &mut State,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Error>> {
        state.notified = true;
        if !state.accepts.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let turn = self.turn(state, cx);
        if turn.is_pending() {
            remember(&mut state.task, cx.waker());
            state.notified = false;
            state.shrink();
            pool::rest(&mut self.input);
        }
        turn
    }

    fn turn(&mut self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let input = self.poll_input(state, cx);
        if !state.accepts.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if let Err(error) = self.poll_timer(state, cx) {
            state.fail_with(error);
        }
        state.settle();
        loop {
            state.pump();
            match self.poll_output(state, cx) {
                Poll::Ready(Ok(())) if state.pumpable() => {}
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(error)) => {
                    state.out = Default::default();
                    state.fail_with(Error::io(&error));
                    self.shut = true;
                    break;
                }
                Poll::Pending if matches!(state.phase, Phase::Failed(_)) => {
                    // It does not even take our last words.
                    self.shut = true;
                    break;
                }
                Poll::Pending => {
                    if input == Input::More {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        }
        let end = match &state.phase {
            Phase::Failed(error) => Err(error.clone()),
            Phase::Finished => Ok(false),
            _ => {
                if input != Input::Waits {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        };
        if self.poll_shutdown(cx).is_pending() && end.is_ok() {
            return Poll::Pending;
        }
        Poll::Ready(end)
    }

    /// Read and process as much as is there.
    fn poll_input(&mut self, state: &mut State, cx: &mut Context<'_>) -> Input {
        for _ in 0..READS {
            if self.eof || matches!(state.phase, Phase::Failed(_) | Phase::Finished) {
                return Input::Waits;
            }
            if state.out.is_too_much() {
                return Input::Held;
            }
            match self.process(state) {
                Ok(missing) if state.accepts.is_empty() => {
                    pool::fill(&mut self.input, missing);
                }
                Ok(_) => return Input::More,
                Err(fatal) => {
                    state.fail(fatal);
                    return Input::Waits;
                }
            }
            match pin!(self.io.read_buf(&mut self.input)).poll(cx) {
                Poll::Pending => return Input::Waits,
                Poll::Ready(Ok(0)) => {
                    self.eof = true;
                    self.ended(state);
                    return Input::Waits;
                }
                Poll::Ready(Ok(_)) => {
                    if let Some(timer) = &mut self.timer {
                        timer.heard();
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.eof = true;
                    state.fail_with(Error::io(&error));
                    return Input::Waits;
                }
            }
            if let Err(fatal) = self.process(state) {
                state.fail(fatal);
                return Input::Waits;
            }
            if !state.accepts.is_empty() {
                return Input::More;
            }
        }
        Input::More
    }

    /// The peer sends no more.
    fn ended(&mut self, state: &mut State) {
        let clean = self.input.is_empty() && state.active == 0 && self.preface == 0;
        if clean && matches!(state.phase, Phase::Open | Phase::Draining) {
            state.fail_with(Error::io_kind(io::ErrorKind::UnexpectedEof, "closed"));
            if !state.has_reason() {
                state.phase = Phase::Finished;
            }
        } else {
            let cause = if self.preface > 0 {
                "preface_cut"
            } else {
                "closed"
            };
            state.fail_with(Error::io_kind(io::ErrorKind::UnexpectedEof, cause));
        }
    }

    /// Process the whole frames of the input; the octets that the next one needs.
    fn process(&mut self, state: &mut State) -> Result<usize, Fatal> {
        if self.preface > 0 && !self.take_preface()? {
            return Ok(HEAD);
        }
        let mut at = 0;
        let missing = loop {
            let Some(head) = self.input.get(at..).and_then(Head::parse) else {
                break HEAD;
            };
            let length = head.length as usize;
            if head.length > state.config.max_frame {
                return Err(Fatal::size("frame_too_large"));
            }
            let (from, to) = (at + HEAD, at + HEAD + length);
            if self.input.len() < to {
                break to - self.input.len();
            }
            if head.kind == kind::DATA && length >= CUT {
                self.input.advance(from);
                let payload = self.input.split_to(length).freeze();
                at = 0;
                state.frame(head, Payload::Owned(payload))?;
                continue;
            }
            at = to;
            let payload = self.input.get(from..to).unwrap_or_default();
            state.frame(head, Payload::Borrowed(payload))?;
        };
        self.input.advance(at);
        Ok(missing)
    }

    /// Compare what the client says first; true once it is there whole.
    fn take_preface(&mut self) -> Result<bool, Fatal> {
        let rest = &PREFACE[PREFACE.len() - self.preface..];
        let count = rest.len().min(self.input.len());
        if rest[..count] != self.input[..count] {
            return Err(Fatal::protocol("preface"));
        }
        self.input.advance(count);
        self.preface -= count;
        Ok(self.preface == 0)
    }

    fn poll_output(&mut self, state: &mut State, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        if !state.out.is_empty() {
            self.unflushed = true;
            if state.out.poll_write(&mut self.io, cx)?.is_pending() {
                return Poll::Pending;
            }
        }
        if self.unflushed {
            if Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
                return Poll::Pending;
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Close our half, and take what still comes, so that our last words are not lost.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.shut {
            // The connection is over whether this works or not.
            if Pin::new(&mut self.io).poll_shutdown(cx).is_pending() {
                return Poll::Pending;
            }
            self.shut = true;
            for _ in 0..READS {
                self.input.clear();
                pool::fill(&mut self.input, HEAD);
                let read = pin!(self.io.read_buf(&mut self.input)).poll(cx);
                if !matches!(read, Poll::Ready(Ok(1..))) {
                    break;
                }
            }
            self.input = BytesMut::new();
        }
        Poll::Ready(())
    }

    fn poll_timer(&mut self, state: &mut State, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(timer) = &mut self.timer else {
            return Ok(());
        };
        if std::mem::take(&mut state.pong) {
            timer.waiting = false;
        }
        while timer.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if timer.waiting && timer.last + timer.timeout <= now {
                return Err(Error::io_kind(io::ErrorKind::TimedOut, "keep_alive"));
            }
            let due = timer.last + timer.idle;
            let wanted = state.active > 0 || !timer.with_streams_only;
            if due > now {
                timer.waiting = false;
                timer.sleep.as_mut().reset(due);
            } else if wanted {
                frame::ping(&mut state.out.frames, false, KEEP_ALIVE_PING);
                timer.waiting = true;
                timer.last = now;
                timer.sleep.as_mut().reset(now + timer.timeout);
            } else {
                timer.last = now;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl<T: AsyncRead + AsyncWrite + Unpin> Conn<T> {
    /// Take these octets as if they had been read.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> Result<(), Fatal> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        self.input.extend_from_slice(octets);
        let end = self.process(&mut state).map(drop);
        if let Err(fatal) = end {
            state.fail(fatal);
        }
        end
    }
}

impl Timer {
    fn new(keep_alive: KeepAlive) -> Box<Self> {
        let last = Instant::now();
        Box::new(Self {
            sleep: Box::pin(tokio::time::sleep_until(last + keep_alive.idle)),
            idle: keep_alive.idle,
            timeout: keep_alive.timeout,
            with_streams_only: keep_alive.with_streams_only,
            last,
            waiting: false,
        })
    }

    fn heard(&mut self) {
        self.last = Instant::now();
        self.waiting = false;
    }
}

impl<T> Drop for Conn<T> {
    /// Without the connection's task nothing more comes: all that wait must know.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if matches!(state.phase, Phase::Open | Phase::Draining) {
            state.fail_with(Error::io_kind(io::ErrorKind::ConnectionAborted, "dropped"));
        }
        state.task = None;
    }
}
