//! The client's end of a connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::{Config, setters};
use crate::io::Conn;
use crate::share::{RecvStream, SendStream};
use crate::state::{Handle, Phase, Role, Shared, State};
use crate::{Error, Reason};

/// Options of a client's connections.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// The defaults: the protocol's windows and sizes.
    pub fn new() -> Self {
        Self::default()
    }

    setters!();

    /// Streams that may be opened before the server has said its limit (100).
    pub fn initial_max_send_streams(&mut self, most: usize) -> &mut Self {
        self.config.first_max_streams = u32::try_from(most).unwrap_or(u32::MAX);
        self
    }

    /// Speak over `io`: the sender of requests, and the future that must be polled for it to work.
    ///
    /// # Errors
    /// None; it is a result for the sake of the `h2` crate's shape.
    pub async fn handshake<T>(&self, io: T) -> Result<(SendRequest, Connection<T>), Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        Ok(self.connect(io))
    }

    /// As [`Builder::handshake`], which never waits.
    pub fn connect<T>(&self, io: T) -> (SendRequest, Connection<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut state = State::new(Role::Client, self.config.clone());
        state.openers = 1;
        let conn = Conn::new(io, state, Bytes::new());
        let sender = SendRequest {
            shared: conn.shared.clone(),
            ticket: 0,
        };
        (sender, Connection { conn })
    }
}

/// Speak over `io` with the default options.
///
/// # Errors
/// None; see [`Builder::handshake`].
pub async fn handshake<T>(io: T) -> Result<(SendRequest, Connection<T>), Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    Builder::new().handshake(io).await
}

/// The connection itself: a future that is ready when the connection is over.
///
/// It ends well when no [`SendRequest`] and no stream is left, or the server closed it without a
/// reason.
#[derive(Debug)]
#[must_use = "a connection works only while it is polled"]
pub struct Connection<T> {
    conn: Conn<T>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Connection<T> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = self.conn.shared.clone();
        let mut state = shared.lock();
        let end = ready!(self.conn.poll_turn(&mut state, cx));
        Poll::Ready(end.map(|_| ()))
    }
}

impl<T> Connection<T> {
    /// Open no new streams, and end when the open ones have.
    pub fn graceful_shutdown(&mut self) {
        self.conn.shared.lock().graceful();
    }

    /// End all streams now and say `reason`.
    pub fn abrupt_shutdown(&mut self, reason: Reason) {
        self.conn.shared.lock().abrupt(reason);
    }
}

/// Opens streams. Clones share the connection.
#[derive(Debug)]
pub struct SendRequest {
    shared: Arc<Shared>,
    /// Its place among those that wait for a free stream; 0: it does not.
    ticket: u64,
}

impl SendRequest {
    /// Ready when a stream may be opened: the server's limit is not reached.
    ///
    /// # Errors
    /// The connection is over or going away; [`Error::is_unprocessed`] is true.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.shared.lock().poll_openable(&mut self.ticket, cx)
    }

    /// As [`SendRequest::poll_ready`].
    ///
    /// # Errors
    /// As [`SendRequest::poll_ready`].
    pub async fn ready(mut self) -> Result<Self, Error> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        Ok(self)
    }

    /// Open a stream. The body follows on the handle, unless `end_of_stream`.
    ///
    /// Without a scheme in the URI it is `http`. Fields that belong to a connection of HTTP/1.1
    /// (`connection`, `transfer-encoding`, …) are left out.
    ///
    /// # Errors
    /// The connection is over or going away, the server's limit is reached, or it knows no
    /// extended CONNECT. Nothing was sent: [`Error::is_unprocessed`] is true.
    pub fn send_request(
        &mut self,
        request: Request<()>,
        end_of_stream: bool,
    ) -> Result<(ResponseFuture, SendStream), Error> {
        let key = self.shared.lock().send_request(&request, end_of_stream)?;
        let response = ResponseFuture {
            handle: Some(Handle::counted(self.shared.clone(), key)),
        };
        let body = SendStream::new(Handle::counted(self.shared.clone(), key));
        Ok((response, body))
    }

    /// Streams that the server allows at once; `usize::MAX` where it said no limit.
    pub fn current_max_send_streams(&self) -> usize {
        match self.shared.lock().peer.max_streams {
            u32::MAX => usize::MAX,
            most => most as usize,
        }
    }

    /// Streams that are open.
    pub fn num_active_streams(&self) -> usize {
        self.shared.lock().active as usize
    }

    /// Whether no stream can be opened any more: the server goes away, or the connection is over.
    pub fn is_closed(&self) -> bool {
        !matches!(self.shared.lock().phase, Phase::Open)
    }

    /// Whether the server allows extended CONNECT; false until it has said so.
    pub fn is_extended_connect_protocol_enabled(&self) -> bool {
        self.shared.lock().peer.connect_protocol
    }
}

impl Clone for SendRequest {
    fn clone(&self) -> Self {
        self.shared.lock().openers += 1;
        Self {
            shared: self.shared.clone(),
            ticket: 0,
        }
    }
}

impl Drop for SendRequest {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.openers -= 1;
        state.leave_queue(self.ticket);
        if state.openers == 0 {
            state.notify();
        }
    }
}

/// The response to come. Dropping it and the body's handle resets the stream.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    /// Empty once the response is there.
    handle: Option<Handle>,
}

impl ResponseFuture {
    /// The next 1xx response; `None` once the response itself is there. Without this they are
    /// dropped.
    pub fn poll_informational(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Response<()>, Error>>> {
        match &self.handle {
            Some(Handle { shared, key }) => shared.lock().poll_informational(*key, cx),
            None => Poll::Ready(None),
        }
    }

    /// The stream's identifier.
    pub fn stream_id(&self) -> Option<u32> {
        self.handle.as_ref().map(|handle| handle.key.id)
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<RecvStream>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(Handle { shared, key }) = &self.handle else {
            return Poll::Ready(Err(Error::user("polled_again")));
        };
        let response = ready!(shared.lock().poll_response(*key, cx))?;
        match self.handle.take() {
            Some(handle) => Poll::Ready(Ok(response.map(|()| RecvStream::new(handle)))),
            None => Poll::Ready(Err(Error::user("polled_again"))),
        }
    }
}
