//! The halves of a stream, the same for both ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::state::Handle;
use crate::{Error, Reason};

/// Sends a body and trailers.
#[derive(Debug)]
pub struct SendStream {
    handle: Handle,
}

impl SendStream {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Say how many octets come next, so that [`SendStream::poll_capacity`] wakes no more tasks
    /// than there is room for.
    pub fn reserve_capacity(&mut self, octets: usize) {
        let Handle { shared, key } = &self.handle;
        shared.lock().reserve(*key, octets);
    }

    /// Octets that may be given to [`SendStream::send_data`] without waiting in memory for the
    /// peer: what the windows and the send buffer allow.
    pub fn capacity(&self) -> usize {
        let Handle { shared, key } = &self.handle;
        shared.lock().capacity(*key)
    }

    /// Ready when the capacity is more than none; `None` when the body is ended.
    pub fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<usize, Error>>> {
        let Handle { shared, key } = &self.handle;
        shared.lock().poll_capacity(*key, cx)
    }

    /// Send a part of the body. What is above the capacity waits in memory.
    ///
    /// # Errors
    /// The stream is reset, or the body was ended already.
    pub fn send_data(&mut self, data: Bytes, end_of_stream: bool) -> Result<(), Error> {
        let Handle { shared, key } = &self.handle;
        shared.lock().send_data(*key, data, end_of_stream)
    }

    /// Send trailers, which end the body.
    ///
    /// # Errors
    /// The stream is reset, or the body was ended already.
    pub fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Error> {
        let Handle { shared, key } = &self.handle;
        shared.lock().send_trailers(*key, trailers)
    }

    /// Reset the stream.
    pub fn send_reset(&mut self, reason: Reason) {
        let Handle { shared, key } = &self.handle;
        shared.lock().user_reset(*key, reason);
    }

    /// Ready when the peer resets the stream.
    ///
    /// # Errors
    /// The connection failed.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, Error>> {
        let Handle { shared, key } = &self.handle;
        shared.lock().poll_reset(*key, cx)
    }

    /// The stream's identifier.
    pub fn stream_id(&self) -> u32 {
        self.handle.key.id
    }
}

/// Receives a body and trailers.
///
/// With [`RecvStream::poll_data`] the reader gives room back by [`FlowControl::release_capacity`];
/// as a [`Body`] it is given back when a frame is handed out.
#[derive(Debug)]
pub struct RecvStream {
    flow: FlowControl,
    body_done: bool,
}

impl RecvStream {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            flow: FlowControl { handle },
            body_done: false,
        }
    }

    /// The next part of the body; `None` at its end.
    pub async fn data(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// As [`RecvStream::data`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Handle { shared, key } = &self.flow.handle;
        shared.lock().poll_data(*key, cx)
    }

    /// The trailers, once the body is read; `None` where there are none.
    ///
    /// # Errors
    /// The stream was reset, or the connection failed.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, Error> {
        poll_fn(|cx| self.poll_trailers(cx)).await
    }

    /// As [`RecvStream::trailers`].
    ///
    /// # Errors
    /// As [`RecvStream::trailers`].
    pub fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Error>> {
        let Handle { shared, key } = &self.flow.handle;
        shared.lock().poll_trailers(*key, cx)
    }

    /// Whether all was read and nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        let Handle { shared, key } = &self.flow.handle;
        shared.lock().is_end_stream(*key)
    }

    /// What gives room back to the peer.
    pub fn flow_control(&mut self) -> &mut FlowControl {
        &mut self.flow
    }

    /// The stream's identifier.
    pub fn stream_id(&self) -> u32 {
        self.flow.handle.key.id
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        let Handle { shared, key } = &self.flow.handle;
        shared.lock().stop_reading(*key);
    }
}

impl Body for RecvStream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Handle { shared, key } = &this.flow.handle;
        let mut state = shared.lock();
        if !this.body_done {
            match ready!(state.poll_data(*key, cx)) {
                Some(Ok(data)) => {
                    state.release(*key, data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.body_done = true,
            }
        }
        let trailers = ready!(state.poll_trailers(*key, cx));
        Poll::Ready(trailers.transpose().map(|frame| frame.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        Self::is_end_stream(self)
    }

    fn size_hint(&self) -> SizeHint {
        let Handle { shared, key } = &self.flow.handle;
        let expected = shared.lock().expected(*key);
        expected.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// Gives room back to the peer.
#[derive(Debug)]
pub struct FlowControl {
    handle: Handle,
}

impl FlowControl {
    /// `octets` of what was handed out are done with; more than that counts as that.
    ///
    /// # Errors
    /// None; it is a result for the sake of the `h2` crate's shape.
    pub fn release_capacity(&mut self, octets: usize) -> Result<(), Error> {
        let Handle { shared, key } = &self.handle;
        shared.lock().release(*key, octets);
        Ok(())
    }
}
