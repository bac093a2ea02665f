//! Sends a body on an HTTP/2 stream, as fast as the peer's windows allow, without a task.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use cloudwright_http2::{self as http2, Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;

use super::body::{Body, BoxError};

/// A body on its way.
pub struct Pump {
    stream: SendStream,
    body: Option<Body>,
    /// Taken from the body, not yet sent.
    data: Bytes,
    trailers: Option<HeaderMap>,
    reading: bool,
}

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    #[error("the stream was reset: {0}")]
    Reset(Reason),
    #[error("HTTP/2: {0}")]
    Http2(#[from] http2::Error),
    #[error("{0}")]
    Body(BoxError),
}

impl Pump {
    /// Sends `body` on `stream`.
    #[must_use]
    pub fn new(stream: SendStream, body: Body) -> Self {
        Self {
            stream,
            body: Some(body),
            data: Bytes::new(),
            trailers: None,
            reading: true,
        }
    }

    /// For a message that has no body.
    #[must_use]
    pub fn ended(stream: SendStream) -> Self {
        Self {
            stream,
            body: None,
            data: Bytes::new(),
            trailers: None,
            reading: false,
        }
    }

    /// Whether everything is handed over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.body.is_none()
    }

    /// Goes on sending; ready when all is handed over or nothing more can be.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        if self.body.is_none() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.step(cx));
        if let Err(error) = &result {
            let reason = match error {
                PumpError::Body(_) => Reason::INTERNAL_ERROR,
                _ => Reason::CANCEL,
            };
            self.stream.send_reset(reason);
        }
        self.body = None;
        Poll::Ready(result)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        loop {
            ready!(self.flush(cx))?;
            let Some(body) = self.body.as_mut().filter(|_| self.reading) else {
                if let Some(trailers) = self.trailers.take() {
                    self.stream.send_trailers(trailers)?;
                }
                return Poll::Ready(Ok(()));
            };
            let frame = match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if let Poll::Ready(reason) = self.stream.poll_reset(cx)? {
                        return Poll::Ready(Err(PumpError::Reset(reason)));
                    }
                    return Poll::Pending;
                }
            };
            match frame {
                None => {
                    self.stream.send_data(Bytes::new(), true)?;
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(PumpError::Body(error))),
                Some(Ok(frame)) => {
                    self.reading = !body.is_end_stream();
                    match frame.into_data() {
                        Ok(data) => self.data = data,
                        Err(frame) => {
                            self.trailers = frame.into_trailers().ok();
                            self.reading = false;
                        }
                    }
                }
            }
        }
    }

    /// Sends what was taken from the body, with the end of the stream when nothing follows.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        while !self.data.is_empty() {
            self.stream.reserve_capacity(self.data.len());
            let room = match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(room) => room?,
                    None => {
                        let reason = match self.stream.poll_reset(cx)? {
                            Poll::Ready(reason) => reason,
                            Poll::Pending => Reason::STREAM_CLOSED,
                        };
                        return Poll::Ready(Err(PumpError::Reset(reason)));
                    }
                },
                room => room,
            };
            if room == 0 {
                continue;
            }
            let part = self.data.split_to(room.min(self.data.len()));
            let last = self.data.is_empty() && !self.reading && self.trailers.is_none();
            self.stream.send_data(part, last)?;
            if last {
                self.body = None;
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(Ok(()))
    }
}
