//! Accepting connections, TLS, and serving HTTP on them until they end or the server stops.
use std::{
    collections::HashMap,
    convert::Infallible,
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    connection::Caller,
    cork::{Cork, corked},
    exchange::Shared,
    fan::{Carrier, Handed},
    inbox::locked,
    tls::Peer,
    transport::Transport,
};

/// Streams of one HTTP/2 connection: watches share it with requests.
const STREAMS: u32 = 1000;
const PING: Duration = Duration::from_secs(30);
const BREATH: Duration = Duration::from_millis(20);

/// Whether the server takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Draining,
}

/// Accepts until the phase changes.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut phase: watch::Receiver<Phase>,
) {
    let room = Arc::new(Semaphore::new(shared.config.connections_max));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, or a connection that is gone already: later ones may work.
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        let phase = phase.clone();
        tokio::spawn(async move {
            shared.counts.connections.fetch_add(1, Ordering::Relaxed);
            shared
                .counts
                .connections_total
                .fetch_add(1, Ordering::Relaxed);
            // A broken connection ends its requests, which are counted on their own.
            let _ = connection(&shared, stream, phase).await;
            shared.counts.connections.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}

async fn connection(
    shared: &Arc<Shared>,
    stream: TcpStream,
    phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let material = shared.material.load_full();
    let acceptor = TlsAcceptor::from(Arc::clone(&material.config));
    let secure = timeout(shared.config.handshake, acceptor.accept(stream)).await??;
    let session = secure.get_ref().1;
    let chain: &[CertificateDer<'_>] = session.peer_certificates().unwrap_or_default();
    let peer = material.peer(chain).map(|peer| shared.peers.number(peer));
    let http2 = session.alpn_protocol() == Some(b"h2");
    let caller = Arc::new(Caller::new(peer, http2));
    drop(material);
    if http2 {
        serve_http2(shared, secure, caller, phase).await;
    } else {
        serve_http1(shared, secure, caller, phase).await;
    }
    Ok(())
}

async fn drained(mut phase: watch::Receiver<Phase>) {
    // An error: the server is gone, which is an end as well.
    let _ = phase.wait_for(|now| *now == Phase::Draining).await;
}

/// Serves requests; a watch's connection is with the fan-out until the watch has ended.
async fn serve_http1(
    shared: &Arc<Shared>,
    io: TlsStream<TcpStream>,
    caller: Arc<Caller>,
    phase: watch::Receiver<Phase>,
) {
    let slot = Arc::clone(&caller.slot);
    let (socket, session) = io.into_inner();
    let mut transport = Transport::new(socket, session, Arc::clone(&slot));
    while let Some((handed, back)) = until_watch(shared, transport, &caller, phase.clone()).await {
        shared.fan.adopt(handed);
        // An error: the client left.
        let Ok(carrier) = back.await else { return };
        let Ok(again) = Transport::from_carrier(carrier, Arc::clone(&slot)) else {
            return;
        };
        transport = again;
    }
}

/// Serves requests until the connection ends, or is to be handed over.
async fn until_watch(
    shared: &Arc<Shared>,
    transport: Transport,
    caller: &Arc<Caller>,
    phase: watch::Receiver<Phase>,
) -> Option<(Handed, oneshot::Receiver<Carrier>)> {
    let config = &shared.config;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle)
        .max_headers(config.headers_max)
        .max_header_size(config.header_bytes_max)
        .max_buf_size(config.header_bytes_max.max(64 << 10));
    let (shared, caller) = (Arc::clone(shared), Arc::clone(caller));
    let slot = Arc::clone(&caller.slot);
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, caller) = (Arc::clone(&shared), Arc::clone(&caller));
        async move { Ok::<_, Infallible>(shared.exchange(&caller, request).await) }
    });
    let connection = builder.serve_connection(transport, service);
    let mut connection = connection.with_upgrades();
    let mut draining = pin!(drained(phase));
    let mut told = false;
    let (stream, open) = poll_fn(|cx| {
        if !told && draining.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        slot.take()
            .map_or(Poll::Pending, |parked| Poll::Ready(Some(parked)))
    })
    .await?;
    let parts = connection.into_parts()?;
    let carrier = parts.io.into_carrier(&parts.read_buf).ok()?;
    let (back, returned) = oneshot::channel();
    let handed = Handed {
        stream,
        carrier,
        open,
        back,
    };
    Some((handed, returned))
}

async fn serve_http2(
    shared: &Arc<Shared>,
    io: TlsStream<TcpStream>,
    caller: Arc<Caller>,
    phase: watch::Receiver<Phase>,
) {
    let config = &shared.config;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .max_send_buf_size(64 << 10)
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(50)
        .max_local_error_reset_streams(200)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let asked = Arc::new(AtomicBool::new(false));
    let (shared, seen) = (Arc::clone(shared), Arc::clone(&asked));
    let idle = config.idle;
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, caller) = (Arc::clone(&shared), Arc::clone(&caller));
        seen.store(true, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(shared.exchange(&caller, request).await) }
    });
    let (io, cork) = corked(io);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    // Pings only begin when the client has begun to speak HTTP/2.
    let silent = async {
        tokio::time::sleep(idle).await;
        if asked.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = served(connection.as_mut(), &cork) => return,
        () = silent => return,
        () = drained(phase) => {}
    }
    connection.as_mut().graceful_shutdown();
    served(connection, &cork).await;
}

/// Polls a connection to its end, and sends what its server has written each time.
async fn served<C>(mut connection: Pin<&mut C>, cork: &Cork<TlsStream<TcpStream>>)
where
    C: Future<Output = hyper::Result<()>>,
{
    poll_fn(
        |cx| match (connection.as_mut().poll(cx), cork.poll_drain(cx)) {
            (Poll::Ready(_), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
            _ => Poll::Pending,
        },
    )
    .await;
}

/// A peer and the number that stands for it.
pub(crate) type Numbered = (u64, Arc<Peer>);

/// Numbers for certificates, so that the program looks at each one once.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Mutex<HashMap<[u8; 32], Numbered>>,
    next: AtomicU64,
}

const PEERS_MAX: usize = 10_000;

impl Peers {
    /// The number of `peer`: the same for the same certificate with the same verdict.
    pub fn number(&self, peer: Peer) -> Numbered {
        let mut known = locked(&self.known);
        if let Some(found) = known.get(&peer.fingerprint)
            && *found.1 == peer
        {
            return found.clone();
        }
        if known.len() >= PEERS_MAX {
            known.clear();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = (number, Arc::new(peer));
        known.insert(entry.1.fingerprint, entry.clone());
        entry
    }
}
