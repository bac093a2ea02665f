//! Sending a response: the head and what is ready of the body in one write.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode, Version, response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Phase};
use super::shared::{CONTINUE, lock};
use crate::encode::Sending;
use crate::error::{BoxError, Error};
use crate::head::{Keep, Outgoing, write_response};
use crate::output::Output;
use crate::timer::{Quiet, Timer};

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// Answer the request that was accepted last.
    ///
    /// `content-length` or `transfer-encoding` follow from the body (its exact size, or else the
    /// content-length of the head); `connection: close` in the head closes afterwards. Interim
    /// responses (1xx, but not 101) may be sent before the final one. After 101, or 2xx to
    /// CONNECT, the connection is upgraded: see [`Connection::into_parts`].
    ///
    /// # Errors
    /// The socket failed, the body did, or no request is waiting. The connection is over then,
    /// unless the body failed before a byte was sent: see [`Connection::is_answerable`].
    pub async fn respond<B>(&mut self, response: Response<B>) -> Result<(), Error>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        let mut body = pin!(body);
        let mut out = Output::default();
        let exact = if body.is_end_stream() {
            Some(0)
        } else {
            body.size_hint().exact()
        };
        let answered = self.phase;
        let (mut sending, next) = self.begin_response(&parts, exact, &mut out)?;
        drop(parts);
        let mut late = Timer::default();
        poll_fn(|cx| {
            let sent = self.poll_send(body.as_mut(), &mut sending, &mut out, cx);
            if sent.is_pending() && !out.is_empty() {
                ready!(self.poll_stalled(cx, &out, &mut late));
                return Poll::Ready(Err(Error::Io(io::ErrorKind::TimedOut.into())));
            }
            sent
        })
        .await
        .inspect_err(|error| {
            if out.sent() == 0 && matches!(error, Error::Body(_) | Error::Length) {
                self.phase = answered;
            }
        })?;
        self.phase = next;
        Ok(())
    }

    /// Whether a request waits for its response: also after a response that failed before any
    /// of it was sent, so that another can take its place.
    pub fn is_answerable(&self) -> bool {
        matches!(self.phase, Phase::Respond | Phase::Refused(_))
    }

    fn begin_response(
        &mut self,
        parts: &response::Parts,
        exact: Option<u64>,
        out: &mut Output,
    ) -> Result<(Sending, Phase), Error> {
        if !self.is_answerable() {
            return Err(Error::Gone);
        }
        let answered = std::mem::replace(&mut self.phase, Phase::Shutdown);
        let shared = &mut *lock(&self.shared);
        if shared.interim.len() < CONTINUE.len() {
            out.small().extend_from_slice(shared.interim);
        }
        shared.interim = b"";
        let current = &self.current;
        let outgoing = Outgoing::response(parts, exact, &current.method, current.version);
        if parts.status.is_informational() && parts.status != StatusCode::SWITCHING_PROTOCOLS {
            if current.version == Version::HTTP_11 {
                write_response(out.small(), parts, outgoing, Keep::Silent);
            }
            return Ok((Sending::Done, answered));
        }
        let refused = answered != Phase::Respond;
        let upgrades = !refused && self.upgrades(parts.status);
        let owed = std::mem::take(&mut shared.expects) && !shared.decoder.is_done();
        self.current.keep &= !owed;
        let current = &self.current;
        let keep = current.keep
            && !refused
            && !shared.closing
            && shared.fault.is_none()
            && outgoing != Outgoing::Close;
        let field = match (keep, current.version) {
            _ if upgrades => Keep::Silent,
            (true, Version::HTTP_10) => Keep::Alive,
            (true, _) => Keep::Silent,
            (false, _) => Keep::Close,
        };
        let keep = write_response(out.small(), parts, outgoing, field) != Keep::Close;
        let next = match (upgrades, keep) {
            (true, _) => Phase::Upgraded,
            (false, true) => Phase::Idle,
            (false, false) => Phase::Shutdown,
        };
        Ok((Sending::new(outgoing), next))
    }

    /// Whether the client has not taken anything for too long.
    fn poll_stalled(&self, cx: &mut Context<'_>, out: &Output, timer: &mut Timer) -> Poll<()> {
        let period = lock(&self.shared).limits.write_timeout;
        // The low half counts as well: it only has to change with progress.
        timer.poll_quiet(cx, Quiet::Peer, out.sent() as u32, period)
    }

    fn upgrades(&self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS
            || (self.current.method == http::Method::CONNECT && status.is_success())
    }

    fn poll_send<B>(
        &mut self,
        mut body: Pin<&mut B>,
        sending: &mut Sending,
        out: &mut Output,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        loop {
            // Polled without the lock: the body may be pumping this connection's request body.
            let filled = sending.poll_fill(body.as_mut(), out, cx)?;
            {
                let shared = &mut *lock(&self.shared);
                let io = shared.io.as_mut().ok_or(Error::Gone)?;
                ready!(out.poll_write(io, cx))?;
            }
            ready!(filled);
            if sending.is_done() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
