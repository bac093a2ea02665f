//! Streams come into being: by a request from the peer, or by one of ours.

use std::task::{Context, Poll};

use http::{Method, Request, StatusCode};

use super::floods::Noise;
use super::stream::{Key, Recv, Stream, UNKNOWN};
use super::{Phase, State, remember};
use crate::Reason;
use crate::error::{Error, Fatal};
use crate::frame::{self, MAX_WINDOW};
use crate::message::Gather;

/// Streams that are over but still held by the application, beyond the limit of open ones.
const LINGERING: usize = 128;

impl State {
    /// A request on a new stream (server).
    pub(super) fn open(
        &mut self,
        id: u32,
        end: bool,
        self_dependent: bool,
        gather: Gather,
    ) -> Result<(), Fatal> {
        if id.is_multiple_of(2) {
            return Err(Fatal::protocol("stream_identifier"));
        }
        self.last_peer = id;
        if id > self.accept_until {
            self.closed_unopened(id);
            return Ok(());
        }
        let most = self.config.max_streams.unwrap_or(u32::MAX);
        let existing = self.streams.len();
        if self.active >= most || existing >= (most as usize).saturating_mul(2) + LINGERING {
            return self.unopened(id, Reason::REFUSED_STREAM);
        }
        if gather.oversize {
            self.bare_status(id, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            self.closed_unopened(id);
            return self.floods.count(Noise::Reset);
        }
        let length = gather.content_length();
        let request = match gather.request(self.config.connect_protocol) {
            Ok(request) if !self_dependent => request,
            _ => return self.unopened(id, Reason::PROTOCOL_ERROR),
        };
        if end && length.is_some_and(|length| length > 0) {
            return self.unopened(id, Reason::PROTOCOL_ERROR);
        }
        let mut stream = Stream::new(id, self.peer.window, self.config.window);
        stream.recv = if end { Recv::Ended } else { Recv::Body };
        stream.expected = length.unwrap_or(UNKNOWN);
        stream.queued = true;
        self.active += 1;
        let key = self.streams.insert(stream);
        self.accepts.push_back((key, request));
        Ok(())
    }

    /// Reset a stream before it was opened.
    fn unopened(&mut self, id: u32, reason: Reason) -> Result<(), Fatal> {
        frame::reset(&mut self.out.frames, id, reason);
        self.closed_unopened(id);
        self.floods.count(Noise::Reset)
    }

    /// The next request that waits, with one reference for each of the two handles (server).
    pub(crate) fn accept(&mut self) -> Option<(Key, Request<()>)> {
        while let Some((key, request)) = self.accepts.pop_front() {
            let Some(stream) = self.streams.get(key) else {
                continue;
            };
            stream.queued = false;
            if stream.closed {
                self.abandoned(key);
                continue;
            }
            return Some((key, request));
        }
        None
    }

    /// Whether a stream may be opened now (client).
    fn openable(&self) -> Result<bool, Error> {
        match &self.phase {
            Phase::Failed(error) => Err(error.clone().not_processed()),
            Phase::Draining | Phase::Finished => Err(Error::user("going_away")),
            Phase::Open if self.next_id > MAX_WINDOW - 1 => Err(Error::user("no_more_streams")),
            Phase::Open => Ok(self.active < self.peer.max_streams),
        }
    }

    /// Ready when a stream may be opened (client). `ticket` is the asker's place in the queue,
    /// 0 where it has none.
    pub(crate) fn poll_openable(
        &mut self,
        ticket: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        match self.openable() {
            Ok(false) => {}
            ready => {
                self.vacate(std::mem::take(ticket));
                return Poll::Ready(ready.map(drop));
            }
        }
        let place = self
            .waiting
            .binary_search_by_key(ticket, |(other, _)| *other);
        match place.ok().and_then(|place| self.waiting.get_mut(place)) {
            Some((_, task)) => remember(task, cx.waker()),
            None => {
                self.tickets += 1;
                *ticket = self.tickets;
                self.waiting.push_back((*ticket, Some(cx.waker().clone())));
            }
        }
        Poll::Pending
    }

    /// The asker's place in the queue is empty from now on.
    fn vacate(&mut self, ticket: u64) {
        let place = self
            .waiting
            .binary_search_by_key(&ticket, |(other, _)| *other);
        if let Some((_, task)) = place.ok().and_then(|place| self.waiting.get_mut(place)) {
            *task = None;
        }
    }

    /// The asker is gone. Was it woken and opened no stream, the next one may.
    pub(crate) fn leave_queue(&mut self, ticket: u64) {
        self.vacate(ticket);
        self.wake_openers();
    }

    /// Open a stream with this request (client).
    pub(crate) fn send_request(&mut self, request: &Request<()>, end: bool) -> Result<Key, Error> {
        if !self.openable()? {
            return Err(Error::user("no_free_stream"));
        }
        let extended = request.extensions().get::<crate::Protocol>().is_some();
        if extended && !self.peer.connect_protocol {
            return Err(Error::user("no_extended_connect"));
        }
        let id = self.next_id;
        self.next_id += 2;
        let mut stream = Stream::new(id, self.peer.window, self.config.window);
        stream.head_request = *request.method() == Method::HEAD;
        self.active += 1;
        // The future of the response and the handle of the body.
        stream.refs = 2;
        let key = self.streams.insert(stream);
        self.write_request(key, request, end);
        Ok(key)
    }

    /// Streams are free: let as many of those that wait try.
    pub(super) fn wake_openers(&mut self) {
        let mut free = self.peer.max_streams.saturating_sub(self.active);
        while free > 0 {
            let Some((_, task)) = self.waiting.pop_front() else {
                return;
            };
            if let Some(task) = task {
                task.wake();
                free -= 1;
            }
        }
    }

    pub(super) fn wake_all_openers(&mut self) {
        for task in std::mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(|(_, task)| task)
        {
            task.wake();
        }
    }
}
