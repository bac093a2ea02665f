//! Bodies as they go out: frames become chunks or counted bytes, as many as are ready at once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::error::{BoxError, Error};
use crate::head::{Outgoing, write_trailers};
use crate::output::Output;

/// How far a body was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Length(u64),
    Chunked,
    Close,
    Done,
}

impl Sending {
    pub(crate) fn new(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Nothing | Outgoing::Would(_) => Self::Done,
            Outgoing::Length(length) => Self::Length(length),
            Outgoing::Chunked => Self::Chunked,
            Outgoing::Close => Self::Close,
        }
    }

    pub(crate) fn is_done(self) -> bool {
        self == Self::Done
    }

    /// Move ready frames of `body` to `out`: ready when `out` is full or the body is done.
    pub(crate) fn poll_fill<B>(
        &mut self,
        mut body: Pin<&mut B>,
        out: &mut Output,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        while !self.is_done() && !out.is_full() {
            let frame = match body.as_mut().poll_frame(cx) {
                // All bytes are there: what else the body would say does not matter.
                Poll::Pending if *self == Self::Length(0) => None,
                frame => ready!(frame),
            };
            match frame {
                Some(Ok(frame)) => {
                    let last = body.is_end_stream();
                    self.frame(frame, last, out)?;
                }
                Some(Err(error)) => return Poll::Ready(Err(Error::Body(error.into()))),
                None => self.end(out)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn frame(&mut self, frame: Frame<Bytes>, last: bool, out: &mut Output) -> Result<(), Error> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => self.data(data, last, out)?,
            Err(frame) => {
                if let (Self::Chunked, Ok(trailers)) = (*self, frame.into_trailers()) {
                    write_trailers(out.small(), &trailers);
                    *self = Self::Done;
                }
                return Ok(());
            }
        }
        if last && !self.is_done() {
            self.end(out)?;
        }
        Ok(())
    }

    fn data(&mut self, data: Bytes, last: bool, out: &mut Output) -> Result<(), Error> {
        match self {
            Self::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Error::Length)?;
                out.data(data, b"");
            }
            Self::Chunked => {
                write_size(out.small(), data.len());
                out.data(data, if last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
                if last {
                    *self = Self::Done;
                }
            }
            Self::Close | Self::Done => out.data(data, b""),
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        match self {
            Self::Length(left) if *left != 0 => return Err(Error::Length),
            Self::Chunked => out.small().extend_from_slice(b"0\r\n\r\n"),
            _ => {}
        }
        *self = Self::Done;
        Ok(())
    }
}

/// The line before a chunk.
fn write_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let width = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..width).rev() {
        out.push(DIGITS[size >> (place * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}
