//! The filters of one exchange: asked about its request, its response and its bodies.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, request, response};
use rustix::process::{Signal, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::body::FilteredBody;
use crate::link::{Given, NotSent, Shared, Waiting};
use crate::mutation::{Answer, Mutations};
pub use crate::protocol::Origin;
use crate::protocol::{self, CallHead};
use crate::table::{Mask, Table};

/// What the filters say about a message.
#[derive(Debug)]
pub enum Verdict {
    /// It goes on, with these changes (usually few, often none).
    Continue(Mutations),
    /// It is answered with this.
    Respond(Box<Answer>),
}

/// The filters of one exchange. Keep it until the response's body is over; dropping it tells the
/// host to forget the exchange. Clones are the same exchange.
#[derive(Clone)]
pub struct Chain(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    table: Arc<Table>,
    mask: Mask,
    refused: bool,
    /// 0: the host has not been asked yet.
    exchange: AtomicU64,
    /// Sides of which a call failed: the host is not asked about them again, because an answer that
    /// is still to come would be taken for that of the next call.
    lost: AtomicU8,
    scratch: Mutex<Vec<u32>>,
}

/// Which hook of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Request,
    Response,
    RequestBody,
    ResponseBody,
}

impl Phase {
    fn is_answering(self) -> bool {
        matches!(self, Self::Response | Self::ResponseBody)
    }

    /// The side that this hook is about, as a bit.
    fn side(self) -> u8 {
        1 << u8::from(self.is_answering())
    }

    /// The sides that are lost when it fails: without the request the host knows nothing.
    fn loses(self) -> u8 {
        if self == Self::Request {
            3
        } else {
            self.side()
        }
    }
}

/// Why a chain cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Unavailable,
    Late,
    Broken,
}

impl From<NotSent> for Failure {
    fn from(_: NotSent) -> Self {
        Self::Unavailable
    }
}

impl Chain {
    pub(crate) fn new(shared: Arc<Shared>, table: Arc<Table>, mask: Mask, refused: bool) -> Self {
        let exchange = AtomicU64::new(0);
        let (lost, scratch) = (AtomicU8::new(0), Mutex::new(Vec::new()));
        Self(Arc::new(Inner {
            shared,
            table,
            mask,
            refused,
            exchange,
            lost,
            scratch,
        }))
    }

    /// Ask about the request's head; `end`: it has no body.
    pub async fn request(&self, parts: &request::Parts, origin: &Origin<'_>, end: bool) -> Verdict {
        let inner = &*self.0;
        if inner.refused {
            return Verdict::Respond(Box::new(Answer::refusal(StatusCode::SERVICE_UNAVAILABLE)));
        }
        let table = &inner.table;
        let later = table.response | table.response_body | if end { 0 } else { table.request_body };
        let mut flags = if end { protocol::LAST } else { 0 };
        if inner.mask & later != 0 {
            flags |= protocol::KEEP;
        }
        let asked = inner.mask & table.request;
        if asked == 0 {
            flags |= protocol::SILENT;
        }
        if asked == 0 && flags & protocol::KEEP == 0 {
            return Verdict::Continue(Mutations::default());
        }
        let encode =
            |out: &mut Vec<u8>, call: CallHead<'_>| protocol::request(out, call, parts, origin);
        match self.call(Phase::Request, flags, encode).await {
            Ok(None) => Verdict::Continue(Mutations::default()),
            Ok(Some(given)) => self.verdict(Phase::Request, given),
            Err(failure) => self.without(Phase::Request, failure),
        }
    }

    /// Ask about the response's head; `end`: it has no body.
    pub async fn response(&self, parts: &response::Parts, end: bool) -> Verdict {
        if !self.wants(Phase::Response) {
            return Verdict::Continue(Mutations::default());
        }
        let flags = if end { protocol::LAST } else { 0 };
        let encode = |out: &mut Vec<u8>, call: CallHead<'_>| {
            protocol::response(out, call, parts.status.as_u16(), &parts.headers)
        };
        match self.call(Phase::Response, flags, encode).await {
            Ok(None) => Verdict::Continue(Mutations::default()),
            Ok(Some(given)) => self.verdict(Phase::Response, given),
            Err(failure) => self.without(Phase::Response, failure),
        }
    }

    /// Whether a filter wants the request's body. Then its length may change: the proxy must not
    /// send the client's `content-length`.
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        self.wants(Phase::RequestBody)
    }

    /// Whether a filter wants the response's body; as [`Chain::wants_request_body`].
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        self.wants(Phase::ResponseBody)
    }

    /// Whether a filter wants the response's head.
    #[must_use]
    pub fn wants_response(&self) -> bool {
        self.wants(Phase::Response)
    }

    /// The request's body as the filters leave it. Costs nothing when none wants it.
    pub fn request_body<B>(&self, body: B) -> FilteredBody<B> {
        FilteredBody::new(self, Phase::RequestBody, body)
    }

    /// The response's body as the filters leave it. Costs nothing when none wants it.
    pub fn response_body<B>(&self, body: B) -> FilteredBody<B> {
        FilteredBody::new(self, Phase::ResponseBody, body)
    }

    pub(crate) fn wants(&self, phase: Phase) -> bool {
        self.0.mask & self.mask_of(phase) != 0
    }

    /// One piece of a body.
    pub(crate) async fn piece(self, phase: Phase, chunk: Bytes, last: bool) -> Piece {
        let mut flags = if last { protocol::LAST } else { 0 };
        if phase.is_answering() {
            flags |= protocol::ANSWERING;
        }
        let encode = |out: &mut Vec<u8>, call: CallHead<'_>| protocol::body(out, call, &chunk);
        let failure = match self.call(phase, flags, encode).await {
            Ok(Some(Given::Chunk(changed))) => return Piece::Goes(changed),
            Ok(Some(Given::Respond(..))) => return Piece::Refused,
            Ok(Some(Given::Lost)) | Err(Failure::Unavailable) => Failure::Unavailable,
            Ok(_) => Failure::Broken,
            Err(failure) => failure,
        };
        match self.without(phase, failure) {
            Verdict::Continue(_) => Piece::Goes(chunk),
            Verdict::Respond(_) => Piece::Refused,
        }
    }

    fn mask_of(&self, phase: Phase) -> Mask {
        let table = &self.0.table;
        match phase {
            Phase::Request => table.request,
            Phase::Response => table.response,
            Phase::RequestBody => table.request_body,
            Phase::ResponseBody => table.response_body,
        }
    }

    /// Send a call and wait for its answer; `None` for a silent one.
    async fn call(
        &self,
        phase: Phase,
        flags: u8,
        encode: impl FnOnce(&mut Vec<u8>, CallHead<'_>) -> bool,
    ) -> Result<Option<Given>, Failure> {
        let (answering, inner) = (phase.is_answering(), &*self.0);
        let asked = inner.mask & self.mask_of(phase);
        let mut total = Duration::ZERO;
        let mut shortest = Duration::MAX;
        for (_, rule) in inner.table.of(asked) {
            total += rule.timeout;
            shortest = shortest.min(rule.timeout);
        }
        let exchange = self.send(phase, asked, flags, total, encode)?;
        if flags & protocol::SILENT != 0 {
            return Ok(None);
        }
        let shared = Arc::clone(&inner.shared);
        let mut waiting = pin!(Waiting {
            shared,
            exchange,
            answering
        });
        // A hook that runs over its own limit is stopped before the whole chain is late.
        if shortest < total {
            match tokio::time::timeout(shortest, &mut waiting).await {
                Ok(given) => return Ok(Some(given)),
                Err(_) => self.interrupt(),
            }
        }
        let left = if shortest < total {
            total - shortest
        } else {
            total
        };
        match tokio::time::timeout(left, &mut waiting).await {
            Ok(given) => Ok(Some(given)),
            Err(_) => {
                self.interrupt();
                let ids = inner.table.of(asked).map(|(_, rule)| rule.id).collect();
                inner.shared.link().overdue.get_or_insert(ids);
                inner.shared.late.notify_one();
                Err(Failure::Late)
            }
        }
    }

    /// Queue the frame; returns the exchange's number.
    fn send(
        &self,
        phase: Phase,
        asked: Mask,
        flags: u8,
        total: Duration,
        encode: impl FnOnce(&mut Vec<u8>, CallHead<'_>) -> bool,
    ) -> Result<u64, Failure> {
        let inner = &*self.0;
        if inner.lost.load(Relaxed) & phase.side() != 0 {
            return Err(Failure::Unavailable);
        }
        let mut filters = inner.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        filters.clear();
        filters.extend(inner.table.of(asked).map(|(_, rule)| rule.id));
        let mut link = inner.shared.link();
        let mut exchange = inner.exchange.load(Relaxed);
        if exchange == 0 {
            exchange = link.begin()?;
            inner.exchange.store(exchange, Relaxed);
        }
        // A silent call is never late: it only says what later calls are about.
        let silent = flags & protocol::SILENT != 0;
        let deadline = if silent {
            0
        } else {
            monotonic() + nanoseconds(total)
        };
        let call = CallHead {
            exchange,
            deadline,
            flags,
            filters: &filters,
        };
        link.call(exchange, phase.is_answering(), flags, |out| {
            encode(out, call)
        })?;
        Ok(exchange)
    }

    /// Let the host look whether the hook that runs now is over its limit.
    fn interrupt(&self) {
        let process = self.0.shared.link().process.clone();
        if let Some(process) = process {
            // It may have ended just now; the supervisor sees that.
            let _ = pidfd_send_signal(process, Signal::ALARM);
        }
    }

    fn verdict(&self, phase: Phase, given: Given) -> Verdict {
        match given {
            Given::Continue(operations) => match Mutations::parse(operations) {
                Ok(changes) => Verdict::Continue(changes),
                Err(error) => self.broken(phase, &error.to_string()),
            },
            Given::Respond(bytes, failed) => match Answer::parse(bytes, failed) {
                Ok(answer) => Verdict::Respond(Box::new(answer)),
                Err(error) => self.broken(phase, &error.to_string()),
            },
            Given::Lost => self.without(phase, Failure::Unavailable),
            Given::Chunk(_) => self.broken(phase, "a piece of a body"),
        }
    }

    /// The host sent what it must not send; every filter of the chain is held responsible.
    fn broken(&self, phase: Phase, what: &str) -> Verdict {
        let inner = &*self.0;
        for (_, rule) in inner.table.of(inner.mask & self.mask_of(phase)) {
            rule.state.errors.fetch_add(1, Relaxed);
            inner
                .shared
                .failed(&rule.state, false, || format!("the host sent {what}"));
        }
        self.without(phase, Failure::Broken)
    }

    /// What happens without an answer: each filter's own declaration decides.
    fn without(&self, phase: Phase, failure: Failure) -> Verdict {
        let inner = &*self.0;
        inner.lost.fetch_or(phase.loses(), Relaxed);
        let later = self.wants(Phase::Response) || self.wants(Phase::ResponseBody);
        // A silent request that was not sent concerns all filters with later hooks.
        let concerned = match phase {
            Phase::Request if later || self.wants(Phase::RequestBody) => inner.mask,
            _ => inner.mask & self.mask_of(phase),
        };
        let mut refused = false;
        for (_, rule) in inner.table.of(concerned) {
            refused |= rule.refuse;
            let counter = if rule.refuse {
                &rule.state.refusals
            } else {
                &rule.state.bypasses
            };
            counter.fetch_add(1, Relaxed);
        }
        if !refused {
            return Verdict::Continue(Mutations::default());
        }
        let status = match failure {
            Failure::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Late => StatusCode::GATEWAY_TIMEOUT,
            Failure::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Verdict::Respond(Box::new(Answer::refusal(status)))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let exchange = *self.exchange.get_mut();
        if exchange != 0 {
            self.shared.link().end(exchange);
        }
    }
}

/// What becomes of one piece of a body.
pub(crate) enum Piece {
    Goes(Bytes),
    Refused,
}

/// CLOCK_MONOTONIC in nanoseconds: the clock of Python's `time.monotonic_ns`.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}
