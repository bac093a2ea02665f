//! A connection to an upstream, at rest.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::input::is_silent;
use crate::limits::Limits;

/// A connection to an upstream. One pointer: it moves into a request and comes back after it.
pub struct Connection<I> {
    pub(super) inner: Box<Inner<I>>,
}

pub(super) struct Inner<I> {
    pub(super) io: I,
    pub(super) input: Bytes,
    pub(super) limits: Arc<Limits>,
    pub(super) reclaim: Option<Arc<dyn Reclaim<I>>>,
    pub(super) requests: u32,
}

/// Who gets a connection back when its request is over: a pool.
pub trait Reclaim<I>: Send + Sync {
    /// The request is over; with the connection if it can be used again.
    ///
    /// Called in the task that polls the response, once for each request that was begun.
    fn ended(&self, connection: Option<Connection<I>>);
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// A connection that was just opened.
    pub fn new(io: I, limits: Arc<Limits>) -> Self {
        let inner = Inner {
            io,
            input: Bytes::new(),
            limits,
            reclaim: None,
            requests: 0,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// Who is to get it back after the next request.
    pub fn set_reclaim(&mut self, reclaim: Arc<dyn Reclaim<I>>) {
        self.inner.reclaim = Some(reclaim);
    }

    /// Requests sent on it so far: on a fresh one (0) a failure is not a race with a timeout.
    pub fn requests(&self) -> u32 {
        self.inner.requests
    }

    /// Whether the server neither closed it nor sent something unasked; costs no system call
    /// while the kernel has reported nothing.
    pub fn is_idle_healthy(&mut self) -> bool {
        self.inner.input.is_empty()
            && is_silent(&mut self.inner.io, &mut Context::from_waker(Waker::noop()))
    }

    /// Ready when an idle connection was closed by the server or got something unasked.
    pub fn poll_unhealthy(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.input.is_empty() && is_silent(&mut self.inner.io, cx) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// The socket, to look at.
    pub fn io(&self) -> &I {
        &self.inner.io
    }

    /// The socket and bytes that were read ahead.
    pub fn into_parts(self) -> (I, Bytes) {
        let Inner { io, input, .. } = *self.inner;
        (io, input)
    }
}
