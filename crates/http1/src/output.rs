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
        // What is appended goes before the large piece: not while any of that or its tail waits.
        !self.large.is_empty() || !self.tail.is_empty() || self.small.len() - self.written >= FULL
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tokio::io::AsyncReadExt;

    use super::*;

    /// Wherever a write stops, nothing is appended before what is still to be written.
    #[test]
    fn order_is_kept_wherever_a_write_stops() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let large = Bytes::from(vec![b'x'; COPY + 1]);
        let expected = [b"1", &large[..], b"\r\n2"].concat();
        for room in 1..=expected.len() {
            let (mut io, mut peer) = tokio::io::duplex(room);
            let cx = &mut Context::from_waker(Waker::noop());
            let mut out = Output::default();
            out.small().push(b'1');
            out.data(large.clone(), b"\r\n");
            let _ = out.poll_write(&mut io, cx);
            let got = runtime.block_on(async {
                let mut got = Vec::new();
                let mut appended = false;
                while got.len() < expected.len() {
                    if !appended && !out.is_full() {
                        out.small().push(b'2');
                        appended = true;
                    }
                    let _ = out.poll_write(&mut io, cx);
                    peer.read_buf(&mut got).await.unwrap();
                }
                got
            });
            assert!(got == expected, "with room for {room}");
        }
    }
}
