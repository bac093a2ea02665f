//! Every end: of a stream, by reset or by both halves' ends, and of the connection.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use super::floods::Noise;
use super::stream::{Event, Key, Recv, Send, remember};
use super::{Phase, Role, State};
use crate::error::{Error, Fatal};
use crate::frame::{self, Head, kind};
use crate::{Initiator, Reason};

/// Closed streams that are remembered, to tell a late frame from a wrong one.
const REMEMBERED: usize = 32;
const SHUTDOWN_PING: [u8; 8] = *b"draining";

/// The streams that closed last: identifier, and whether we reset it.
#[derive(Debug, Default)]
pub(super) struct Closed {
    ring: VecDeque<(u32, bool)>,
    forgot: bool,
}

impl Closed {
    fn push(&mut self, id: u32, by_us: bool) {
        if self.ring.len() == REMEMBERED {
            self.ring.pop_front();
            self.forgot = true;
        }
        self.ring.push_back((id, by_us));
    }
}

/// How far a shutdown is.
#[derive(Debug, Default)]
pub(super) struct GoAway {
    /// The first GOAWAY is sent; the ping that follows it is not answered yet.
    announced: bool,
    /// What the peer's GOAWAY said.
    received: Option<Error>,
}

impl State {
    /// Close the stream once both halves have ended.
    pub(super) fn maybe_close(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.recv == Recv::Ended && stream.send == Send::Ended {
            stream.wake_send();
            self.floods.ended();
            self.close(key, false);
        } else {
            self.abandoned(key);
        }
    }

    /// Nobody refers to the stream any more: end what is left of it.
    pub(super) fn abandoned(&mut self, key: Key) {
        let role = self.role;
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.refs > 0 || stream.queued {
            return;
        }
        if stream.closed {
            let held = stream.held;
            self.streams.remove(key);
            self.release_connection(held);
            return;
        }
        match stream.send {
            // The rest of the body goes out first.
            Send::Ending => {}
            // A whole response: the client need not send the rest of its request.
            Send::Ended if role == Role::Server => {
                self.reset(key, Reason::NO_ERROR, Initiator::User, "abandoned");
            }
            _ => self.reset(key, Reason::CANCEL, Initiator::User, "abandoned"),
        }
    }

    /// Take the stream out of all counts; its slot stays while handles refer to it.
    fn close(&mut self, key: Key, by_us: bool) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if std::mem::replace(&mut stream.closed, true) {
            return;
        }
        let dropped = std::mem::take(&mut stream.buffered);
        stream.bodies = Default::default();
        stream.trailers = None;
        let gone = stream.refs == 0;
        self.buffered -= dropped;
        self.streams.forget(key.id);
        self.closed.push(key.id, by_us);
        self.active -= 1;
        if self.role == Role::Client {
            self.wake_openers();
        }
        if dropped > 0 {
            self.wake_queue();
        }
        if gone {
            self.abandoned(key);
        }
        let leaving = self.role == Role::Client && self.openers == 0;
        if self.active == 0 && (leaving || !matches!(self.phase, Phase::Open)) {
            self.notify();
        }
    }

    /// Reset a stream: tell the peer unless it was the peer, and the application.
    pub(super) fn reset(
        &mut self,
        key: Key,
        reason: Reason,
        initiator: Initiator,
        cause: &'static str,
    ) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.closed {
            return;
        }
        stream.error = Some(Box::new(Error::reset(reason, initiator, cause)));
        let mut held = 0;
        if initiator != Initiator::Remote {
            stream.events = Default::default();
            stream.discard = true;
            held = std::mem::take(&mut stream.held);
        }
        stream.wake_recv();
        stream.wake_send();
        if initiator != Initiator::Remote {
            frame::reset(&mut self.out.frames, key.id, reason);
            self.release_connection(held);
            self.notify();
        }
        self.close(key, initiator != Initiator::Remote);
    }

    /// Remember a stream that was ended before it was opened.
    pub(super) fn closed_unopened(&mut self, id: u32) {
        self.closed.push(id, true);
    }

    pub(super) fn peer_reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        let code = match frame::number(payload) {
            Some(code) if payload.len() == 4 => code,
            _ => return Err(Fatal::size("reset_size")),
        };
        if head.stream == 0 {
            return Err(Fatal::protocol("reset_on_stream_0"));
        }
        let Some((key, stream)) = self.streams.find(head.stream) else {
            return self.unknown(head.stream, kind::RST_STREAM);
        };
        let answered = stream.recv == Recv::Ended && stream.send != Send::Head;
        self.reset(key, code.into(), Initiator::Remote, "peer_reset");
        // Streams that a client gives up before it has sent or seen much are the attack.
        if self.role == Role::Server && !answered {
            return self.floods.count(Noise::Reset);
        }
        Ok(())
    }

    /// A frame on a stream that is not open: too late, or wrong.
    pub(super) fn unknown(&mut self, id: u32, kind: u8) -> Result<(), Fatal> {
        let opened = match self.role {
            Role::Server => id <= self.last_peer,
            Role::Client => id < self.next_id,
        };
        if id.is_multiple_of(2) || !opened {
            return Err(Fatal::protocol("idle_stream"));
        }
        if kind != kind::HEADERS && kind != kind::DATA {
            return Ok(());
        }
        match self.closed.ring.iter().find(|(closed, _)| *closed == id) {
            // It may not have known yet; data is bounded by its window.
            Some((_, true)) if kind == kind::DATA => Ok(()),
            Some((_, true)) => self.floods.count(Noise::Empty),
            None if !self.closed.forgot && kind == kind::HEADERS => {
                Err(Fatal::protocol("stream_identifier"))
            }
            Some(_) if kind == kind::HEADERS && self.role == Role::Server => Err(Fatal {
                reason: Reason::STREAM_CLOSED,
                cause: "stream_closed",
            }),
            _ => {
                frame::reset(&mut self.out.frames, id, Reason::STREAM_CLOSED);
                self.floods.count(Noise::Empty)
            }
        }
    }

    pub(super) fn peer_go_away(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream != 0 {
            return Err(Fatal::protocol("go_away_on_stream"));
        }
        let last = frame::number(payload).ok_or(Fatal::size("go_away_size"))?;
        let code = payload.get(4..).and_then(frame::number);
        let reason = Reason::from(code.ok_or(Fatal::size("go_away_size"))?);
        let error = Error::go_away(reason, Initiator::Remote, "peer_go_away");
        if reason != Reason::NO_ERROR {
            self.go_away.received = Some(error.clone());
        }
        if self.role == Role::Client {
            if matches!(self.phase, Phase::Open) {
                self.phase = Phase::Draining;
            }
            self.end(&error.not_processed(), last & frame::MAX_WINDOW);
            self.wake_all_openers();
        }
        Ok(())
    }

    /// End the streams above `last` with `error`.
    fn end(&mut self, error: &Error, last: u32) {
        for key in self.streams.keys() {
            if key.id <= last {
                continue;
            }
            if let Some(stream) = self.streams.get(key).filter(|stream| !stream.closed) {
                stream.error = Some(Box::new(error.clone()));
                stream.wake_recv();
                stream.wake_send();
                self.close(key, true);
            }
        }
    }

    /// The peer broke the connection: say so, and end everything.
    pub(crate) fn fail(&mut self, fatal: Fatal) {
        if matches!(self.phase, Phase::Failed(_) | Phase::Finished) {
            return;
        }
        self.say_go_away(self.last_peer, fatal.reason, fatal.cause);
        let error = Error::go_away(fatal.reason, Initiator::Library, fatal.cause);
        self.fail_with(error);
    }

    /// Say GOAWAY with `reason` and end everything, as the application wants.
    pub(crate) fn abrupt(&mut self, reason: Reason) {
        if matches!(self.phase, Phase::Open | Phase::Draining) {
            self.say_go_away(self.last_peer, reason, "");
            self.fail_with(Error::go_away(reason, Initiator::User, "user"));
            self.notify();
        }
    }

    /// The transport is gone, or the connection is given up: end everything.
    pub(crate) fn fail_with(&mut self, error: Error) {
        let error = self.go_away.received.take().unwrap_or(error);
        self.phase = Phase::Failed(error.clone());
        for (key, _) in std::mem::take(&mut self.accepts) {
            if let Some(stream) = self.streams.get(key) {
                stream.queued = false;
            }
            self.abandoned(key);
        }
        self.end(&error, 0);
        self.wake_all_openers();
    }

    fn say_go_away(&mut self, last: u32, reason: Reason, debug: &str) {
        let last = if self.role == Role::Server { last } else { 0 };
        frame::go_away(&mut self.out.frames, last, reason, debug.as_bytes());
    }

    /// Begin to leave: no new streams once the peer surely knows; those that are open may end.
    pub(crate) fn graceful(&mut self) {
        if self.go_away.announced || !matches!(self.phase, Phase::Open) {
            return;
        }
        self.go_away.announced = true;
        if self.role == Role::Client {
            self.phase = Phase::Draining;
            self.wake_all_openers();
        } else {
            self.say_go_away(frame::MAX_WINDOW, Reason::NO_ERROR, "");
            frame::ping(&mut self.out.frames, false, SHUTDOWN_PING);
        }
        self.notify();
    }

    /// The peer knows of our first GOAWAY when its answer to the ping behind it comes.
    pub(super) fn pong(&mut self, payload: [u8; 8]) {
        if payload == SHUTDOWN_PING && self.go_away.announced {
            if matches!(self.phase, Phase::Open) {
                self.phase = Phase::Draining;
                self.accept_until = self.last_peer;
                self.say_go_away(self.last_peer, Reason::NO_ERROR, "");
            }
        } else {
            self.pong = true;
        }
    }

    /// Finish where nothing is left to do.
    pub(crate) fn settle(&mut self) {
        if self.active > 0 || !self.accepts.is_empty() {
            return;
        }
        match self.phase {
            Phase::Draining => {}
            Phase::Open if self.role == Role::Client && self.openers == 0 => {}
            _ => return,
        }
        if self.role == Role::Client {
            self.say_go_away(0, Reason::NO_ERROR, "");
        }
        self.phase = match self.go_away.received.take() {
            Some(error) => Phase::Failed(error),
            None => Phase::Finished,
        };
    }

    /// Reset by the application.
    pub(crate) fn user_reset(&mut self, key: Key, reason: Reason) {
        self.reset(key, reason, Initiator::User, "user");
    }

    /// Ready when the peer resets the stream, or the stream is over otherwise.
    pub(crate) fn poll_reset(
        &mut self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Reason, Error>> {
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(Err(Error::user("no_stream")));
        };
        match &stream.error {
            Some(error) => Poll::Ready(error.reason().ok_or_else(|| (**error).clone())),
            None => {
                remember(&mut stream.send_task, cx.waker());
                Poll::Pending
            }
        }
    }

    /// What came but cannot be told apart from the head yet is dropped with its handle.
    pub(super) fn discard(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        stream.discard = true;
        stream.recv_task = None;
        while let Some(event) = stream.events.pop() {
            drop::<Event>(event);
        }
        let held = std::mem::take(&mut stream.held);
        stream.released += held;
        self.release_connection(held);
    }
}
