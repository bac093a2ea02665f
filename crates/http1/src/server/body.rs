//! Bodies of requests, read from the socket as they are polled; and a body at hand to answer with.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::shared::{Handle, lock};
use crate::chunked::Step;
use crate::error::Error;

/// The body of a request.
///
/// Polled from the task that polls its connection. What nobody reads of it is skipped by the
/// connection, up to a limit.
pub struct RequestBody<I> {
    /// `None` once all of it was read.
    shared: Option<Handle<I>>,
    request: u32,
    left: Option<u64>,
}

impl<I> RequestBody<I> {
    /// No body.
    pub fn empty() -> Self {
        Self {
            shared: None,
            request: 0,
            left: Some(0),
        }
    }

    pub(super) fn new(shared: Handle<I>, request: u32, left: Option<u64>) -> Self {
        Self {
            shared: Some(shared),
            request,
            left,
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Body for RequestBody<I> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(handle) = &this.shared else {
            return Poll::Ready(None);
        };
        let mut shared = lock(handle);
        let step = if shared.request == this.request {
            ready!(shared.poll_timely_body(cx))
        } else {
            Err(Error::Gone)
        };
        this.left = shared.decoder.left();
        let done = step.is_err() || shared.decoder.is_done();
        drop(shared);
        if done {
            this.shared = None;
            this.left = Some(0);
        }
        Poll::Ready(match step {
            Ok(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Step::End | Step::More) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.shared.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that is all there: for answers a proxy makes itself.
#[derive(Clone, Debug, Default)]
pub struct Whole(Option<Bytes>);

impl<T: Into<Bytes>> From<T> for Whole {
    fn from(bytes: T) -> Self {
        Self(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
