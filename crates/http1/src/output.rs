//! Bytes on their way out: small pieces together, a large one without a copy.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Pieces up to this size are copied next to the head.
const COPY: usize = 8 * 1024;
/// So much waits at most before it is written.
const FULL: usize = 32 * 1024;
/// A buffer of this size at most is kept for the next message.
const KEEP: usize = 64 * 1024;

thread_local! {
    static BUFFERS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What is to be written: `small`, then `large`, then `tail`.
#[derive(Default)]
pub(crate) struct Output {
    small: Vec<u8>,
    written: usize,
    large: Bytes,
    tail: &'static [u8],
    sent: u64,
}

impl Output {
    /// The buffer small things are appended to; not after a large piece.
    pub(crate) fn small(&mut self) -> &mut Vec<u8> {
        if self.small.capacity() == 0 {
            self.small = BUFFERS.with(Cell::take);
        }
        &mut self.small
    }

    /// Append a piece of a body and what closes it.
    pub(crate) fn data(&mut self, data: Bytes, tail: &'static [u8]) {
        if data.len() <= COPY {
            let small = self.small();
            small.extend_from_slice(&data);
            small.extend_from_slice(tail);
        } else {
            self.large = data;
            self.tail = tail;
        }
    }

    /// Whether it has to be written before more is appended.
    pub(crate) fn is_full(&self) -> bool {
        !self.large.is_empty() || self.small.len() - self.written >= FULL
    }

    /// Whether everything was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.small.len() == self.written && self.large.is_empty() && self.tail.is_empty()
    }

    /// Bytes written so far, over all calls.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Write it all and flush.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let count = ready!(self.poll_some(io, cx))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        self.give_back();
        Pin::new(io).poll_flush(cx)
    }

    fn poll_some<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let small = self.small.get(self.written..).unwrap_or_default();
        let io = Pin::new(io);
        if self.large.is_empty() && self.tail.is_empty() {
            return io.poll_write(cx, small);
        }
        if io.is_write_vectored() {
            let slices = [
                IoSlice::new(small),
                IoSlice::new(&self.large),
                IoSlice::new(self.tail),
            ];
            return io.poll_write_vectored(cx, &slices);
        }
        let first = [small, &self.large, self.tail]
            .into_iter()
            .find(|part| !part.is_empty());
        io.poll_write(cx, first.unwrap_or_default())
    }

    fn advance(&mut self, mut count: usize) {
        self.sent += count as u64;
        let small = count.min(self.small.len() - self.written);
        self.written += small;
        count -= small;
        let large = count.min(self.large.len());
        self.large.advance(large);
        count -= large;
        self.tail = self.tail.get(count..).unwrap_or_default();
        if self.large.is_empty() {
            self.large = Bytes::new();
        }
    }

    fn give_back(&mut self) {
        let mut small = std::mem::take(&mut self.small);
        self.written = 0;
        if small.capacity() != 0 && small.capacity() <= KEEP {
            small.clear();
            BUFFERS.with(|cell| cell.set(small));
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.give_back();
    }
}
