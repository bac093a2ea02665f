//! One stream: opened, kept alive, fed to the engine until it ends.
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, RecvStream, SendStream,
    client::{Connection, ResponseFuture},
};
use http::{HeaderMap, Request, header};
use tokio::time::{sleep_until, timeout};

use crate::{
    engine::{Engine, Sink},
    grpc::{Deframer, GrpcError, ending, frame},
    message,
    options::Control,
    pacing::Pacing,
    transport::{ConnectError, Io, connect},
    wire::WireError,
};

/// Bytes that the server may send before they are read.
const WINDOW: u32 = 256 * 1024;

/// Why a stream is over; there is no good end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("no answer to a ping within {0:?}")]
    Silent(Duration),
    #[error("HTTP/2: {0}")]
    Http2(#[from] h2::Error),
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    #[error("the server's message is broken: {0}")]
    Wire(#[from] WireError),
    #[error("{file}: {why}")]
    Token { file: String, why: String },
    #[error("cannot ask {0:?}")]
    Authority(String),
}

/// An open stream.
pub struct Session {
    connection: Connection<Box<dyn Io>, Bytes>,
    out: SendStream<Bytes>,
    input: Input,
    pings: Option<PingPong>,
    pacing: Pacing,
    node: Vec<u8>,
}

enum Input {
    Headers(ResponseFuture),
    Body(RecvStream, Deframer),
}

fn request(options: &Control) -> Result<Request<()>, SessionError> {
    let method = if options.delta {
        "DeltaAggregatedResources"
    } else {
        "StreamAggregatedResources"
    };
    let authority = match (&options.authority, &options.server) {
        (Some(name), _) => name.to_string(),
        (None, cloudwright_config::Address::Unix(_)) => "localhost".to_owned(),
        (None, address) => address.to_string(),
    };
    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let service = "envoy.service.discovery.v3.AggregatedDiscoveryService";
    let mut builder = Request::post(format!("{scheme}://{authority}/{service}/{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "cloudwright-xds");
    if let Some(file) = &options.token {
        let token = std::fs::read_to_string(file).map_err(|why| SessionError::Token {
            file: file.display().to_string(),
            why: why.to_string(),
        })?;
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    builder
        .body(())
        .map_err(|_| SessionError::Authority(authority))
}

impl Session {
    /// Connects and opens the stream.
    ///
    /// # Errors
    /// No connection, or the server does not speak HTTP/2.
    pub async fn open(options: &Control) -> Result<Self, SessionError> {
        let limit = options.connect_timeout;
        let opening = async {
            let io = connect(options).await?;
            let (mut send, mut connection) = h2::client::Builder::new()
                .enable_push(false)
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(16 * 1024)
                .handshake::<_, Bytes>(io)
                .await?;
            let pings = connection.ping_pong();
            let (answer, out) = send.send_request(request(options)?, false)?;
            Ok(Self {
                connection,
                out,
                input: Input::Headers(answer),
                pings,
                pacing: Pacing::default(),
                node: options.node.encode(),
            })
        };
        timeout(limit, opening)
            .await
            .map_err(|_| SessionError::Timeout(limit))?
    }

    fn send(&mut self, requests: &[message::Request]) -> Result<(), SessionError> {
        for one in requests {
            let body = one.encode(&self.node);
            self.out.send_data(frame(&body), false)?;
        }
        Ok(())
    }

    /// The next message; the connection is driven meanwhile.
    async fn next(&mut self, options: &Control) -> Result<Bytes, SessionError> {
        loop {
            if let Input::Body(_, deframer) = &mut self.input
                && let Some(message) = deframer.message()?
            {
                return Ok(message);
            }
            let Self {
                connection, input, ..
            } = self;
            let step = pin!(input.step(options.max_message_bytes));
            drive(connection, step).await?;
        }
    }

    /// Feeds the engine until the stream is over. `progress` is called after every event, with
    /// whether it was an answer of the server.
    ///
    /// # Errors
    /// Always: why it is over.
    pub async fn run(
        mut self,
        options: &Control,
        engine: &mut Engine,
        sink: &mut (dyn Sink + Send),
        progress: &mut (dyn FnMut(&Engine, bool) + Send),
    ) -> Result<std::convert::Infallible, SessionError> {
        let first = engine.connected();
        self.send(&first)?;
        progress(engine, false);
        let mut heard = Instant::now();
        loop {
            let now = Instant::now();
            let due = engine.deadline(now);
            let quiet = heard + options.keepalive;
            let held = self.pacing.next();
            let wake = [due, held].into_iter().flatten().fold(quiet, Instant::min);
            let next = timeout_at(wake, self.next(options)).await;
            let now = Instant::now();
            let (requests, answered) = match next {
                Some(message) => {
                    heard = now;
                    (engine.receive(now, &message?, sink)?, true)
                }
                None if due.is_some_and(|due| due <= now) => (engine.tick(now, sink), false),
                None if held.is_some_and(|held| held <= now) => {
                    let ready = self.pacing.due(now);
                    self.send(&ready)?;
                    continue;
                }
                None => {
                    self.ping(options.keepalive_timeout).await?;
                    heard = Instant::now();
                    continue;
                }
            };
            let requests = self.pacing.take(now, requests);
            self.send(&requests)?;
            progress(engine, answered);
        }
    }

    /// Asks whether the server is still there.
    async fn ping(&mut self, limit: Duration) -> Result<(), SessionError> {
        let Self {
            connection, pings, ..
        } = self;
        let Some(pings) = pings else { return Ok(()) };
        let answer = pin!(async { pings.ping(Ping::opaque()).await.map(drop) });
        timeout(limit, drive(connection, answer))
            .await
            .map_err(|_| SessionError::Silent(limit))?
    }
}

/// `None` when the time comes first.
async fn timeout_at<T>(wake: Instant, future: impl Future<Output = T>) -> Option<T> {
    let sleep = sleep_until(wake.into());
    tokio::select! {
        biased;
        done = future => Some(done),
        () = sleep => None,
    }
}

/// Drives the connection until `step` is done, or the connection itself ends.
async fn drive<T, E>(
    connection: &mut Connection<Box<dyn Io>, Bytes>,
    mut step: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<T, SessionError>
where
    SessionError: From<E>,
{
    poll_fn(|context| {
        let over = Pin::new(&mut *connection).poll(context);
        if let Poll::Ready(done) = step.as_mut().poll(context) {
            return Poll::Ready(done.map_err(Into::into));
        }
        match over {
            Poll::Ready(Ok(())) => Poll::Ready(Err(GrpcError::Ended.into())),
            Poll::Ready(Err(why)) => Poll::Ready(Err(why.into())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl Input {
    /// Waits for headers or for another chunk.
    async fn step(&mut self, most: u32) -> Result<(), SessionError> {
        match self {
            Self::Headers(answer) => {
                let (head, body) = answer.await?.into_parts();
                if head.status != http::StatusCode::OK {
                    return Err(GrpcError::Http(head.status.as_u16()).into());
                }
                if head.headers.contains_key("grpc-status") {
                    return Err(ending(Some(&head.headers)).into());
                }
                *self = Self::Body(body, Deframer::new(most));
            }
            Self::Body(body, deframer) => match body.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    deframer.push(&chunk);
                    body.flow_control().release_capacity(chunk.len())?;
                }
                None => {
                    let trailers: Option<HeaderMap> = body.trailers().await?;
                    return Err(ending(trailers.as_ref()).into());
                }
            },
        }
        Ok(())
    }
}
