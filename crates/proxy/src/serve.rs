//! Accepting connections and serving HTTP on them until they end or are sent away gently.
use std::{
    future::Future, io, net::SocketAddr, pin::pin, sync::Arc, sync::atomic::Ordering,
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{body::Body, drain::Phase, proxy::Proxy};

const STREAMS: u32 = 250;
const SETTLE: Duration = Duration::from_millis(250);
const RETIRE_SPREAD_MS: u64 = 10_000;

/// Binds a listener; the error names the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let make = || -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    };
    make().map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Where a redirected connection wanted to go; `None` when nothing redirected it.
#[must_use]
pub fn original_destination(stream: &TcpStream) -> Option<std::net::SocketAddrV4> {
    let original = SockRef::from(stream)
        .original_dst_v4()
        .ok()?
        .as_socket_ipv4()?;
    match stream.local_addr().ok()? {
        SocketAddr::V4(local) if local != original => Some(original),
        _ => None,
    }
}

/// Accepts until `last` phase is reached; each connection runs in its own task.
pub async fn accept<F, T>(proxy: Arc<Proxy>, listener: TcpListener, last: Phase, handle: F)
where
    F: Fn(Arc<Proxy>, TcpStream, SocketAddr) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(proxy.boot.limits.max_connections));
    let mut end = pin!(proxy.drain.reached(last));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        let (stream, peer) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                // Out of descriptors, or a connection that is gone already: later ones may work.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        proxy
            .metrics
            .connections_total
            .fetch_add(1, Ordering::Relaxed);
        let work = handle(Arc::clone(&proxy), stream, peer);
        let counted = Arc::clone(&proxy);
        counted
            .metrics
            .connections_open
            .fetch_add(1, Ordering::Relaxed);
        proxy.tasks.spawn(async move {
            work.await;
            counted
                .metrics
                .connections_open
                .fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}

/// How a connection is served.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Sent away some time after the mesh certificate changed.
    pub retires: bool,
    /// Time for the head of a request.
    pub header_timeout: Option<Duration>,
    pub http1_only: bool,
    pub http2_only: bool,
}

fn builder(proxy: &Proxy, style: Style) -> auto::Builder<TokioExecutor> {
    let limits = &proxy.boot.limits;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(style.header_timeout)
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    if style.http1_only {
        builder.http1_only()
    } else if style.http2_only {
        builder.http2_only()
    } else {
        builder
    }
}

/// Serves HTTP on one connection; `answer` gets each request.
pub async fn http<I, F, T>(proxy: Arc<Proxy>, io: I, style: Style, answer: F)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> T + Send + 'static,
    T: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let work = answer(request);
        async move { Ok::<_, std::convert::Infallible>(work.await) }
    });
    let builder = builder(&proxy, style);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    {
        let mut leave = pin!(leave(&proxy, style));
        tokio::select! {
            // A broken connection ends its requests; they are logged on their own.
            _ = connection.as_mut() => return,
            () = &mut leave => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Returns when the connection should be sent away.
async fn leave(proxy: &Proxy, style: Style) {
    let retire = async {
        if !style.retires {
            return std::future::pending().await;
        }
        let mut generations = proxy.generations.subscribe();
        if generations.changed().await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(Duration::from_millis(
            1_000 + fastrand::u64(..RETIRE_SPREAD_MS),
        ))
        .await;
    };
    let drain = async {
        let late = proxy.drain.phase() != Phase::Serving;
        proxy.drain.reached(Phase::Draining).await;
        if late {
            // Came during the drain: serve what it brought before sending it away.
            tokio::time::sleep(SETTLE).await;
        }
    };
    tokio::select! { () = retire => {}, () = drain => {} }
}
