//! What waits to be written: one buffer of frames, with large bodies referenced in between.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Bodies of at least this many octets are referenced, smaller ones copied.
const REFERENCE: usize = 4096;
/// While more than this waits, bodies stay with their streams.
const HIGH_WATER: usize = 128 * 1024;
/// While more than this waits, nothing more is read: the peer makes us answer and does not take
/// the answers. Bodies alone never come here, or two ends that both wait to write would wait for
/// ever.
const TOO_MUCH: usize = HIGH_WATER + (1 << 20);
/// A drained buffer larger than this is given back.
const KEEP: usize = 32 * 1024;
const SLICES: usize = 32;

/// The write buffer of a connection.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Frames; append here.
    pub(crate) frames: Vec<u8>,
    /// Octets of `frames` that are written.
    at: usize,
    /// Large bodies, each with the place in `frames` that it stands before.
    large: VecDeque<(usize, Bytes)>,
    large_octets: usize,
}

impl Out {
    /// Octets that wait.
    pub(crate) fn len(&self) -> usize {
        self.frames.len() - self.at + self.large_octets
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether bodies should wait.
    pub(crate) fn is_high(&self) -> bool {
        self.len() > HIGH_WATER
    }

    /// Whether reading should wait.
    pub(crate) fn is_too_much(&self) -> bool {
        self.len() > TOO_MUCH
    }

    /// Append a body.
    #[inline]
    pub(crate) fn body(&mut self, body: Bytes) {
        if body.len() < REFERENCE {
            self.frames.extend_from_slice(&body);
        } else {
            self.large_octets += body.len();
            self.large.push_back((self.frames.len(), body));
        }
    }

    /// Write all that waits.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let io = Pin::new(&mut *io);
            let written = if self.large.is_empty() {
                ready!(io.poll_write(cx, &self.frames[self.at..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = self.slices(&mut slices);
                ready!(io.poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (mut count, mut from) = (0, self.at);
        for (place, body) in &self.large {
            if count + 2 > SLICES {
                return count;
            }
            if *place > from {
                slices[count] = IoSlice::new(&self.frames[from..*place]);
                count += 1;
                from = *place;
            }
            slices[count] = IoSlice::new(body);
            count += 1;
        }
        if count < SLICES && from < self.frames.len() {
            slices[count] = IoSlice::new(&self.frames[from..]);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        while let Some((place, body)) = self.large.front_mut() {
            let before = (*place - self.at).min(written);
            self.at += before;
            written -= before;
            let part = body.len().min(written);
            if self.at < *place || part == 0 {
                return;
            }
            body.advance(part);
            written -= part;
            self.large_octets -= part;
            if !body.is_empty() {
                return;
            }
            self.large.pop_front();
        }
        self.at += written;
        if self.is_empty() {
            self.frames.clear();
            self.at = 0;
        } else if self.at > KEEP {
            self.frames.drain(..self.at);
            for (place, _) in &mut self.large {
                *place -= self.at;
            }
            self.at = 0;
        }
    }

    /// Give back what only a burst needs, or all of it where `idle`.
    pub(crate) fn shrink(&mut self, idle: bool) {
        if self.is_empty() && (idle || self.frames.capacity() > KEEP) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A writer that takes at most `most` octets at a time.
    struct Narrow {
        most: usize,
        got: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = data.len().min(self.most);
            self.got.extend_from_slice(&data[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut left = self.most;
            for slice in slices {
                let count = slice.len().min(left);
                self.got.extend_from_slice(&slice[..count]);
                left -= count;
            }
            Poll::Ready(Ok(self.most - left))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(
            parts in proptest::collection::vec((0usize..40, 0usize..9000), 0..80),
            most in 1usize..20_000,
        ) {
            let (mut out, mut want) = (Out::default(), Vec::new());
            for (index, (frame, body)) in parts.iter().enumerate() {
                let frame = vec![index as u8; *frame];
                let body = vec![!(index as u8); *body];
                out.frames.extend_from_slice(&frame);
                want.extend(frame);
                want.extend(&body);
                out.body(body.into());
            }
            prop_assert_eq!(out.len(), want.len());
            let mut io = Narrow { most: most.max(want.len() / 500), got: Vec::new() };
            let mut cx = Context::from_waker(std::task::Waker::noop());
            prop_assert!(matches!(out.poll_write(&mut io, &mut cx), Poll::Ready(Ok(()))));
            prop_assert_eq!(io.got, want);
            prop_assert!(out.is_empty());
        }
    }
}
