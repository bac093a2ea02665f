//! One request and its response on a connection: both directions move whenever it is polled.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Response, StatusCode, request};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Inner};
use crate::chunked::Step;
use crate::decode::Decoder;
use crate::encode::Sending;
use crate::error::{BoxError, Error, Fault};
use crate::head::{Outgoing, Scan, read_response, write_request};
use crate::input::poll_input;
use crate::output::Output;

/// A request under way; dropped with the connection when it ends early.
pub(super) struct Exchange<I, B> {
    /// `None` once it was given back.
    inner: Option<Box<Inner<I>>>,
    /// The request's side, until all of it was sent.
    upload: Option<Upload<B>>,
    decoder: Decoder,
    /// The connection can be used again after this.
    keep: bool,
    asks_upgrade: bool,
    upgraded: bool,
    scan: Scan,
    interims: usize,
}

/// The request's body on its way.
pub(super) struct Upload<B> {
    pub(super) body: B,
    sending: Sending,
    out: Output,
    head: u64,
    /// Whether the body was asked for a frame.
    polled: bool,
}

impl<I, B> Exchange<I, B>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Put the head of a request down to be sent.
    pub(super) fn new(mut inner: Box<Inner<I>>, parts: &request::Parts, body: B) -> Self {
        inner.requests = inner.requests.wrapping_add(1);
        let exact = if body.is_end_stream() {
            Some(0)
        } else {
            body.size_hint().exact()
        };
        let outgoing = Outgoing::request(parts, exact);
        let mut out = Output::default();
        let asks_upgrade = write_request(out.small(), parts, outgoing);
        let head = out.small().len() as u64;
        let sending = if outgoing.has_body() {
            Sending::new(outgoing)
        } else {
            Sending::Done
        };
        Self {
            inner: Some(inner),
            upload: Some(Upload {
                body,
                sending,
                out,
                head,
                polled: false,
            }),
            decoder: Decoder::Done,
            keep: true,
            asks_upgrade,
            upgraded: false,
            scan: Scan::default(),
            interims: 0,
        }
    }

    /// Whether any byte was sent, and whether the server could act on the request by now.
    pub(super) fn progress(&self) -> (bool, bool) {
        match &self.upload {
            Some(upload) => (upload.out.sent() > 0, upload.out.sent() >= upload.head),
            None => (true, true),
        }
    }

    /// The body, if nothing was taken out of it.
    pub(super) fn take_body(&mut self) -> Option<B> {
        self.upload
            .take()
            .filter(|upload| !upload.polled)
            .map(|upload| upload.body)
    }

    /// Send what is ready of the request.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (Some(inner), Some(upload)) = (&mut self.inner, &mut self.upload) else {
            return Poll::Ready(Ok(()));
        };
        loop {
            upload.polled |= !upload.sending.is_done();
            let body = Pin::new(&mut upload.body);
            let filled = upload.sending.poll_fill(body, &mut upload.out, cx)?;
            ready!(upload.out.poll_write(&mut inner.io, cx))?;
            ready!(filled);
            if upload.sending.is_done() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The head of the final response, while the request goes on.
    pub(super) fn poll_response(
        &mut self,
        method: &Method,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Error>> {
        let sent = match self.poll_upload(cx) {
            Poll::Ready(Err(Error::Io(error))) => Some(Error::Io(error)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            _ => None,
        };
        let read = self.poll_read_response(method, cx);
        match (sent, read) {
            // The server stopped reading; only a response it sent before is better news.
            (Some(error), Poll::Pending | Poll::Ready(Err(Error::Truncated | Error::Io(_)))) => {
                Poll::Ready(Err(error))
            }
            (Some(_), Poll::Ready(Ok(response))) => {
                self.keep = false;
                Poll::Ready(Ok(response))
            }
            (_, read) => read,
        }
    }

    fn poll_read_response(
        &mut self,
        method: &Method,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Error>> {
        let inner = self.inner.as_mut().ok_or(Error::Gone)?;
        loop {
            while let Some(head) =
                read_response(&mut inner.input, &mut self.scan, method, &inner.limits)?
            {
                let status = head.response.status();
                let switches = status == StatusCode::SWITCHING_PROTOCOLS;
                if switches && !self.asks_upgrade {
                    return Poll::Ready(Err(Fault::Switched.into()));
                }
                if status.is_informational() && !switches {
                    self.interims += 1;
                    if self.interims > inner.limits.max_interim {
                        return Poll::Ready(Err(Fault::Interim.into()));
                    }
                    continue;
                }
                self.upgraded = switches || (*method == Method::CONNECT && status.is_success());
                self.keep &= head.keep;
                self.decoder = Decoder::new(head.framing, None);
                return Poll::Ready(Ok(head.response));
            }
            if ready!(poll_input(&mut inner.io, cx, &mut inner.input))? == 0 {
                return Poll::Ready(Err(Error::Truncated));
            }
        }
    }

    /// The next piece of the response's body, while the request goes on.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Error>> {
        if self.decoder.is_done() {
            return Poll::Ready(Ok(Step::End));
        }
        if self.upload.is_some() {
            match self.poll_upload(cx) {
                Poll::Ready(Ok(())) => self.upload = None,
                Poll::Ready(Err(_)) => {
                    // The response still counts; only the connection does not any more.
                    self.upload = None;
                    self.keep = false;
                }
                Poll::Pending => {}
            }
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Err(Error::Gone));
        };
        loop {
            match self.decoder.step(&mut inner.input, &inner.limits)? {
                Step::More => {}
                step => return Poll::Ready(Ok(step)),
            }
            if ready!(poll_input(&mut inner.io, cx, &mut inner.input))? == 0 {
                self.decoder.at_eof()?;
                return Poll::Ready(Ok(Step::End));
            }
        }
    }

    /// Give the connection back if the response is complete.
    pub(super) fn settle(&mut self) {
        if self.upgraded || !self.decoder.is_done() {
            return;
        }
        let sent = match &self.upload {
            Some(upload) => upload.sending.is_done() && upload.out.is_empty(),
            None => true,
        };
        self.upload = None;
        if let Some(mut inner) = self.inner.take()
            && let Some(reclaim) = inner.reclaim.take()
        {
            let clean = self.keep && sent && inner.input.is_empty();
            if clean {
                inner.input = Bytes::new();
            }
            reclaim.ended(clean.then_some(Connection { inner }));
        }
    }
}

impl<I, B> Exchange<I, B> {
    pub(super) fn left(&self) -> Option<u64> {
        self.decoder.left()
    }

    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// The socket and what was read ahead, after an upgrade.
    pub(super) fn take_upgraded(&mut self) -> Option<(I, Bytes)> {
        if !self.upgraded {
            return None;
        }
        let mut inner = self.inner.take()?;
        if let Some(reclaim) = inner.reclaim.take() {
            reclaim.ended(None);
        }
        let Inner { io, input, .. } = *inner;
        Some((io, input))
    }
}

impl<I, B> Drop for Exchange<I, B> {
    fn drop(&mut self) {
        if let Some(reclaim) = self.inner.as_mut().and_then(|inner| inner.reclaim.take()) {
            reclaim.ended(None);
        }
    }
}
