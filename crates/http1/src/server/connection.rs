//! A connection between requests: waiting for one, skipping what is left of the last, closing.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Request, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::RequestBody;
use super::close::Closer;
use super::shared::{Handle, Shared, lock};
use crate::chunked::Step;
use crate::decode::Decoder;
use crate::error::{Error, Fault};
use crate::head::{RequestHead, Scan, read_request};
use crate::limits::Limits;
use crate::timer::Quiet;

/// A connection a client opened.
///
/// It is polled inside the caller's task, in a tokio runtime with time; every method can be
/// cancelled, but a response that was begun and dropped ends the connection. For a small idle
/// task, box the work on a request.
pub struct Connection<I> {
    pub(super) shared: Handle<I>,
    pub(super) phase: Phase,
    pub(super) current: Current,
    scan: Scan,
    /// Bytes skipped since the last response.
    skipped: u64,
}

/// What a connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Take the next request, after what is left of the last one's body.
    Idle,
    /// A request is with the caller.
    Respond,
    /// The request was malformed and is not answered yet.
    Refused(Fault),
    /// Say that it is over.
    Shutdown,
    /// Read on for a while, so that the peer gets our last words.
    Linger,
    Upgraded,
    Closed,
}

/// What the current request means for its response.
pub(super) struct Current {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) keep: bool,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// A connection that was just opened.
    pub fn new(io: I, limits: Arc<Limits>) -> Self {
        Self::with_prefix(io, Bytes::new(), limits)
    }

    /// A connection some bytes were already read from, to find out the protocol.
    pub fn with_prefix(io: I, prefix: Bytes, limits: Arc<Limits>) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared::new(io, prefix, limits))),
            phase: Phase::Idle,
            current: Current {
                method: Method::GET,
                version: Version::HTTP_11,
                keep: false,
            },
            scan: Scan::default(),
            skipped: 0,
        }
    }

    /// The next request; `None` when the connection is over or was upgraded.
    ///
    /// After an error it may be answered with [`Connection::respond`]; if it is not, the next
    /// call answers it with its status. Either way that next call closes and gives `None`.
    pub async fn accept(&mut self) -> Option<Result<Request<RequestBody<I>>, Error>> {
        if let Phase::Refused(fault) = self.phase {
            // Boxed: rare, and every connection would have to have room for it.
            if let Err(error) = Box::pin(self.answer(fault)).await {
                self.phase = Phase::Closed;
                return Some(Err(error));
            }
        }
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    async fn answer(&mut self, fault: Fault) -> Result<(), Error> {
        let mut answer = http::Response::new(super::Whole::from(fault.reason()));
        *answer.status_mut() = fault.status();
        self.respond(answer).await
    }

    /// As [`Connection::accept`], which see, without the answer to a malformed request.
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Request<RequestBody<I>>, Error>>> {
        loop {
            match self.phase {
                Phase::Idle => match ready!(self.poll_skip(cx)) {
                    true => {
                        if let Poll::Ready(result) = self.poll_head(cx)? {
                            match result {
                                Some(request) => return Poll::Ready(Some(Ok(request))),
                                None => continue,
                            }
                        }
                        return Poll::Pending;
                    }
                    false => self.phase = Phase::Shutdown,
                },
                // A request without a response: there is nothing to say but the end.
                Phase::Respond | Phase::Refused(_) => self.phase = Phase::Shutdown,
                Phase::Shutdown => self.phase = ready!(self.poll_shutdown(cx)),
                Phase::Linger => {
                    ready!(self.poll_linger(cx));
                    self.close();
                }
                Phase::Upgraded | Phase::Closed => return Poll::Ready(None),
            }
        }
    }

    /// Ready when the client closed the connection while it waits for a response.
    ///
    /// To be polled next to the work on a request, which may then be given up. Requests sent
    /// ahead are kept. While the request's body is being read it never is ready: the body tells.
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// See [`Connection::closed`].
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &mut *lock(&self.shared);
        if shared.io.is_none() || !shared.decoder.is_done() {
            return Poll::Pending;
        }
        while shared.input.len() < shared.limits.max_head {
            match ready!(shared.poll_read(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// The response under way or the next one is the last; if idle, [`Connection::accept`] ends.
    pub fn graceful_shutdown(&mut self) {
        lock(&self.shared).closing = true;
    }

    /// A handle that does the same from elsewhere.
    pub fn closer(&self) -> Closer<I> {
        Closer {
            shared: Arc::downgrade(&self.shared),
        }
    }

    /// Whether the last response gave the connection to another protocol (101, CONNECT).
    pub fn is_upgraded(&self) -> bool {
        self.phase == Phase::Upgraded
    }

    /// The socket and what was read ahead, after an upgrade; `None` if it was given away before.
    pub fn into_parts(self) -> Option<(I, Bytes)> {
        let mut shared = lock(&self.shared);
        let input = std::mem::take(&mut shared.input);
        shared.io.take().map(|io| (io, input))
    }

    /// Skip the rest of the last request's body; whether the connection can go on.
    fn poll_skip(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let shared = &mut *lock(&self.shared);
        if shared.decoder.is_done() {
            return Poll::Ready(true);
        }
        if shared.expects || shared.fault.is_some() {
            return Poll::Ready(false);
        }
        loop {
            let left = shared.decoder.left().unwrap_or_default();
            if self.skipped.saturating_add(left) > shared.limits.max_drain {
                return Poll::Ready(false);
            }
            match shared.poll_body(cx) {
                Poll::Ready(Ok(Step::Data(data))) => self.skipped += data.len() as u64,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {
                    ready!(shared.timer.poll_deadline(cx, shared.limits.linger_timeout));
                    return Poll::Ready(false);
                }
            }
            if shared.decoder.is_done() {
                shared.timer.stop();
                return Poll::Ready(true);
            }
        }
    }

    /// Read a head; `None` if the phase changed.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Request<RequestBody<I>>>, Error>> {
        let handle = Arc::clone(&self.shared);
        let mut shared = lock(&handle);
        let limits = Arc::clone(&shared.limits);
        loop {
            match read_request(&mut shared.input, &mut self.scan, &limits) {
                Ok(Some(head)) => return Poll::Ready(Ok(Some(self.begin(head, &mut shared)))),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(self.refuse(fault, &mut shared))),
            }
            if shared.closing && shared.input.is_empty() {
                self.phase = Phase::Shutdown;
                return Poll::Ready(Ok(None));
            }
            match shared.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(end) => {
                    self.phase = Phase::Closed;
                    let clean = shared.input.is_empty();
                    shared.io = None;
                    return Poll::Ready(match end {
                        _ if clean => Ok(None),
                        Ok(_) => Err(Error::Truncated),
                        Err(error) => Err(error),
                    });
                }
                Poll::Pending => return self.poll_late(cx, &mut shared),
            }
        }
    }

    /// Nothing came: is it too late?
    fn poll_late(
        &mut self,
        cx: &mut Context<'_>,
        shared: &mut Shared<I>,
    ) -> Poll<Result<Option<Request<RequestBody<I>>>, Error>> {
        shared.wait(cx);
        if shared.input.is_empty() {
            shared.input = Bytes::new();
            let period = shared.limits.idle_timeout;
            ready!(
                shared
                    .timer
                    .poll_quiet(cx, Quiet::Connection, shared.request, period)
            );
            self.phase = Phase::Shutdown;
            return Poll::Ready(Ok(None));
        }
        ready!(shared.timer.poll_deadline(cx, shared.limits.head_timeout));
        Poll::Ready(Err(self.refuse(Fault::HeadTimeout, shared)))
    }

    fn refuse(&mut self, fault: Fault, shared: &mut Shared<I>) -> Error {
        shared.fault = Some(fault);
        self.phase = Phase::Refused(fault);
        self.current = Current {
            method: Method::GET,
            version: Version::HTTP_11,
            keep: false,
        };
        Error::Fault(fault)
    }

    /// A request was read: hand it out.
    fn begin(&mut self, head: RequestHead, shared: &mut Shared<I>) -> Request<RequestBody<I>> {
        shared.timer.stop();
        self.skipped = 0;
        self.phase = Phase::Respond;
        self.current = Current {
            method: head.request.method().clone(),
            version: head.request.version(),
            keep: head.keep,
        };
        shared.request = shared.request.wrapping_add(1);
        shared.expects = head.expects_continue;
        shared.decoder = Decoder::new(head.framing, shared.limits.max_body);
        let body = if shared.decoder.is_done() {
            RequestBody::empty()
        } else {
            let left = shared.decoder.left();
            RequestBody::new(Arc::clone(&self.shared), shared.request, left)
        };
        head.request.map(|()| body)
    }

    /// Close our side; whether to read on is in the phase that follows.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        let shared = &mut *lock(&self.shared);
        shared.timer.stop();
        let Some(io) = &mut shared.io else {
            return Poll::Ready(Phase::Closed);
        };
        match Pin::new(io).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Phase::Linger),
            Poll::Pending => {
                ready!(shared.timer.poll_deadline(cx, shared.limits.linger_timeout));
                return Poll::Ready(Phase::Linger);
            }
        }
        Poll::Ready(Phase::Linger)
    }

    /// Read until the peer closes, too: unread bytes would make the kernel reset the connection.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &mut *lock(&self.shared);
        if shared.decoder.is_done() && shared.fault.is_none() && shared.input.is_empty() {
            return Poll::Ready(());
        }
        loop {
            match shared.poll_read(cx) {
                Poll::Ready(Ok(1..)) => shared.input.clear(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    return shared.timer.poll_deadline(cx, shared.limits.linger_timeout);
                }
            }
        }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        lock(&self.shared).io = None;
    }
}
