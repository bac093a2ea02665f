//! Bodies of responses, read from the socket as they are polled.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::exchange::Exchange;
use crate::chunked::Step;
use crate::error::{BoxError, Error};

/// The body of a response.
///
/// Polling it also sends what is left of the request's body `B`. Dropped before its end, it
/// closes the connection.
pub struct ResponseBody<I, B> {
    pub(super) exchange: Exchange<I, B>,
    /// It failed: there is nothing after the error.
    pub(super) failed: bool,
}

impl<I, B> ResponseBody<I, B> {
    /// The socket and the bytes read ahead, once, after 101 or 2xx to CONNECT.
    pub fn take_upgraded(&mut self) -> Option<(I, Bytes)> {
        self.exchange.take_upgraded()
    }
}

impl<I, B> Body for ResponseBody<I, B>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let step = ready!(self.exchange.poll_body(cx));
        self.exchange.settle();
        Poll::Ready(match step {
            Ok(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Step::End | Step::More) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.exchange.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.exchange
            .left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
