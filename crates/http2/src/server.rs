//! The server's end of a connection.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::{Config, setters};
use crate::io::Conn;
use crate::share::{RecvStream, SendStream};
use crate::state::{Handle, Role, State};
use crate::{Error, Reason};

/// Options of a server's connections.
///
/// ```no_run
/// # async fn example(io: tokio::net::TcpStream) -> Result<(), cloudwright_http2::Error> {
/// let mut connection = cloudwright_http2::server::Builder::new()
///     .max_concurrent_streams(10_000)
///     .handshake(io)
///     .await?;
/// while let Some(request) = connection.accept().await {
///     let (_request, mut respond) = request?;
///     respond.send_response(http::Response::new(()), true)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// The defaults: 100 streams, the protocol's windows and sizes.
    pub fn new() -> Self {
        Self::default()
    }

    setters!();

    /// Streams that the client may have open at once (100).
    pub fn max_concurrent_streams(&mut self, most: u32) -> &mut Self {
        self.config.max_streams = Some(most);
        self
    }

    /// Allow extended CONNECT, as WebSockets over HTTP/2 need it (RFC 8441).
    pub fn enable_connect_protocol(&mut self) -> &mut Self {
        self.config.connect_protocol = true;
        self
    }

    /// Serve `io`. What the client says first is checked by [`Connection::accept`].
    ///
    /// # Errors
    /// None; it is a result for the sake of the `h2` crate's shape.
    pub async fn handshake<T>(&self, io: T) -> Result<Connection<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        Ok(self.serve(io, Bytes::new()))
    }

    /// Serve `io`, of which `read` was read already.
    pub fn serve<T>(&self, io: T, read: Bytes) -> Connection<T>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let state = State::new(Role::Server, self.config.clone());
        Connection {
            conn: Conn::new(io, state, read),
            over: false,
        }
    }
}

/// Serve `io` with the default options.
///
/// # Errors
/// None; see [`Builder::handshake`].
pub async fn handshake<T>(io: T) -> Result<Connection<T>, Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    Builder::new().handshake(io).await
}

/// A request with its body to come, and what answers it.
pub type Accepted = (Request<RecvStream>, SendResponse);

/// A connection of a client. It works only while [`Connection::accept`] is polled.
#[derive(Debug)]
pub struct Connection<T> {
    conn: Conn<T>,
    over: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// The next request; `None` when the connection ended well. Safe to cancel.
    pub async fn accept(&mut self) -> Option<Result<Accepted, Error>> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`Connection::accept`].
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Accepted, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let shared = self.conn.shared.clone();
        let mut state = shared.lock();
        loop {
            match self.conn.poll_turn(&mut state, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(end) => {
                    self.over = true;
                    return Poll::Ready(end.err().map(Err));
                }
            }
            let Some((key, request)) = state.accept() else {
                continue;
            };
            state.refer(key, 2);
            let body = RecvStream::new(Handle::counted(shared.clone(), key));
            let respond = SendResponse {
                handle: Handle::counted(shared.clone(), key),
            };
            return Poll::Ready(Some(Ok((request.map(|()| body), respond))));
        }
    }

    /// Ready when the connection is over; requests that come are refused. For what is left of a
    /// connection whose requests nobody wants.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match self.poll_accept(cx) {
                Poll::Ready(Some(Ok((_, mut respond)))) => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T> Connection<T> {
    /// Take no new streams, as soon as the client surely knows, and end when the open ones have.
    /// Go on with [`Connection::accept`] until it says `None`.
    pub fn graceful_shutdown(&mut self) {
        self.conn.shared.lock().graceful();
    }

    /// End all streams now and say `reason`.
    pub fn abrupt_shutdown(&mut self, reason: Reason) {
        self.conn.shared.lock().abrupt(reason);
    }

    /// Streams that are open.
    pub fn num_active_streams(&self) -> usize {
        self.conn.shared.lock().active as usize
    }

    /// Streams that exist, with those that are over and still held by handles.
    pub fn num_wired_streams(&self) -> usize {
        self.conn.shared.lock().existing()
    }
}

/// Answers one request.
#[derive(Debug)]
pub struct SendResponse {
    handle: Handle,
}

impl SendResponse {
    /// Send the head of the response, which is the whole of it where `end_of_stream`.
    ///
    /// # Errors
    /// The stream is reset, or a response was sent already.
    pub fn send_response(
        &mut self,
        response: Response<()>,
        end_of_stream: bool,
    ) -> Result<SendStream, Error> {
        let Handle { shared, key } = &self.handle;
        let mut state = shared.lock();
        state.send_response(*key, &response, end_of_stream)?;
        state.refer(*key, 1);
        Ok(SendStream::new(Handle::counted(shared.clone(), *key)))
    }

    /// Send a 1xx response (not 101) in front of the response.
    ///
    /// # Errors
    /// The stream is reset, the response was sent already, or the status is no 1xx.
    pub fn send_informational(&mut self, response: Response<()>) -> Result<(), Error> {
        let Handle { shared, key } = &self.handle;
        shared.lock().send_informational(*key, &response)
    }

    /// Reset the stream.
    pub fn send_reset(&mut self, reason: Reason) {
        let Handle { shared, key } = &self.handle;
        shared.lock().user_reset(*key, reason);
    }

    /// Ready when the client resets the stream.
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
