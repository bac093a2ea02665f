//! Writes of an HTTP/2 connection, put together: its server flushes after each frame, and with a
//! hundred watches on a connection each would be a TLS record and a system call.
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::inbox::locked;

/// Beyond this the server has to wait.
const HIGH: usize = 64 << 10;

#[derive(Debug)]
struct Inner<T> {
    io: T,
    out: BytesMut,
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        // An idle connection keeps no room of an earlier burst.
        self.out = BytesMut::new();
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

/// What the HTTP/2 server has: a flush is done by whoever polls the server, with `Cork::poll_drain`.
#[derive(Debug)]
pub(crate) struct Corked<T>(Arc<Mutex<Inner<T>>>);

/// The other end of it.
#[derive(Debug)]
pub(crate) struct Cork<T>(Arc<Mutex<Inner<T>>>);

pub(crate) fn corked<T>(io: T) -> (Corked<T>, Cork<T>) {
    let out = BytesMut::new();
    let inner = Arc::new(Mutex::new(Inner { io, out }));
    (Corked(Arc::clone(&inner)), Cork(inner))
}

impl<T: AsyncWrite + Unpin> Cork<T> {
    /// Sends what the server has written. To be called each time that it was polled.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        locked(&self.0).poll_drain(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut locked(&self.0).io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = locked(&self.0);
        if inner.out.len() >= HIGH {
            ready!(inner.poll_drain(cx))?;
        }
        let before = inner.out.len();
        for piece in data {
            inner.out.extend_from_slice(piece);
        }
        Poll::Ready(Ok(inner.out.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = locked(&self.0);
        ready!(inner.poll_drain(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::io::duplex;

    fn write(corked: &mut Corked<tokio::io::DuplexStream>, data: &[u8]) -> Poll<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut *corked).poll_write(&mut cx, data);
        let _ = Pin::new(corked).poll_flush(&mut cx).map(Result::unwrap);
        written.map(Result::unwrap)
    }

    fn read(other: &mut tokio::io::DuplexStream) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut room = vec![0; 1 << 20];
        let mut buf = ReadBuf::new(&mut room);
        let _ = Pin::new(other).poll_read(&mut cx, &mut buf);
        buf.filled().to_vec()
    }

    #[test]
    fn what_was_written_goes_out_at_once_and_in_order() {
        let (io, mut other) = duplex(1 << 20);
        let (mut corked, cork) = corked(io);
        for piece in ["one ", "two ", "three"] {
            assert_eq!(
                write(&mut corked, piece.as_bytes()),
                Poll::Ready(piece.len())
            );
            assert_eq!(read(&mut other), b"");
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(cork.poll_drain(&mut cx).is_ready());
        assert_eq!(read(&mut other), b"one two three");
    }

    #[test]
    fn a_client_that_does_not_read_makes_the_server_wait() {
        let (io, mut other) = duplex(1000);
        let (mut corked, cork) = corked(io);
        let mut sent = 0;
        while let Poll::Ready(size) = write(&mut corked, &[b'x'; 5000]) {
            sent += size;
            assert!(sent < 4 * HIGH);
        }
        let mut seen = 0;
        let mut cx = Context::from_waker(Waker::noop());
        while cork.poll_drain(&mut cx).is_pending() {
            seen += read(&mut other).len();
        }
        seen += read(&mut other).len();
        assert_eq!(seen, sent);
        assert!(write(&mut corked, b"x").is_ready());
    }

    #[test]
    fn the_end_comes_after_everything() {
        let (io, mut other) = duplex(1 << 20);
        let (mut corked, _cork) = corked(io);
        assert!(write(&mut corked, b"last").is_ready());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut corked).poll_shutdown(&mut cx).is_ready());
        assert_eq!(read(&mut other), b"last");
    }
}
