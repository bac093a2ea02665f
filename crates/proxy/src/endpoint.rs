//! One endpoint of the mesh and its HTTP/2 connections.
//!
//! Several connections with a cap on streams each; the least used one is taken. A connection of an
//! older certificate, or of an endpoint that left the snapshot, gets no new stream and ends when
//! its last stream does.
use std::{
    io,
    net::SocketAddrV4,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{balance::Candidate, body::Body, identity::SpiffeId, proxy::Proxy, record::Hold};

const EJECT_FIRST_MS: u64 = 200;
const EJECT_MOST_MS: u64 = 5_000;
const IDLE: Duration = Duration::from_secs(90);
const PING: Duration = Duration::from_secs(20);
const WINDOW_STREAM: u32 = 256 * 1024;
const WINDOW_CONNECTION: u32 = 2 * 1024 * 1024;

/// Why no connection to an endpoint could be made. No byte of the request was sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    #[error("connect to {0}: {1}")]
    Connect(SocketAddrV4, String),
    #[error("TLS with {0}: {1}")]
    Tls(SocketAddrV4, String),
    #[error("connect to {0}: no answer in time")]
    Timeout(SocketAddrV4),
    #[error("{0} is {1}, not {2}")]
    Identity(SocketAddrV4, String, String),
    #[error("this proxy has no certificate yet")]
    NoCertificate,
}

struct Conn {
    sender: http2::SendRequest<Body>,
    streams: AtomicUsize,
    generation: u64,
    used: Mutex<Instant>,
}

/// An address with the identity it must prove.
pub struct Endpoint {
    pub address: SocketAddrV4,
    pub identity: Arc<str>,
    active: AtomicUsize,
    ejected_until_ms: AtomicU64,
    failures: AtomicU32,
    gone: AtomicBool,
    conns: Mutex<Vec<Arc<Conn>>>,
    dialing: tokio::sync::Mutex<Option<(Instant, DialError)>>,
}

/// A place for one stream on a connection.
pub struct Lease {
    pub sender: http2::SendRequest<Body>,
    conn: Arc<Conn>,
    endpoint: Arc<Endpoint>,
}

impl Hold for Lease {}

impl Drop for Lease {
    fn drop(&mut self) {
        self.conn.streams.fetch_sub(1, Ordering::Relaxed);
        self.endpoint.active.fetch_sub(1, Ordering::Relaxed);
        *self
            .conn
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Candidate for Arc<Endpoint> {
    fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }
    fn ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > now_ms
    }
}

impl Endpoint {
    #[must_use]
    pub fn new(address: SocketAddrV4, identity: &str) -> Self {
        Self {
            address,
            identity: identity.into(),
            active: AtomicUsize::new(0),
            ejected_until_ms: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            gone: AtomicBool::new(false),
            conns: Mutex::new(Vec::new()),
            dialing: tokio::sync::Mutex::new(None),
        }
    }

    fn conns(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Conn>>> {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No new streams; connections end when idle.
    pub fn retire(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.conns().clear();
    }

    /// Lets go of connections that are closed, of an older certificate, or long unused.
    pub fn sweep(&self, generation: u64) {
        self.conns().retain(|conn| {
            let used = *conn.used.lock().unwrap_or_else(PoisonError::into_inner);
            let busy = conn.streams.load(Ordering::Relaxed) > 0;
            !conn.sender.is_closed()
                && conn.generation == generation
                && (busy || used.elapsed() < IDLE)
        });
    }

    /// Leaves the endpoint alone for a while that grows with each failure in a row.
    pub fn eject(&self, now_ms: u64) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(5);
        let pause = (EJECT_FIRST_MS << before).min(EJECT_MOST_MS);
        self.ejected_until_ms
            .store(now_ms + pause, Ordering::Relaxed);
    }

    fn best(self: &Arc<Self>, generation: u64, cap: usize, most: usize) -> Option<Lease> {
        let mut conns = self.conns();
        conns.retain(|conn| conn.generation == generation && !conn.sender.is_closed());
        let full = conns.len() >= most;
        let conn = conns
            .iter()
            .min_by_key(|conn| conn.streams.load(Ordering::Relaxed))?;
        if !full && conn.streams.load(Ordering::Relaxed) >= cap {
            return None;
        }
        Some(self.lend(conn))
    }

    fn lend(self: &Arc<Self>, conn: &Arc<Conn>) -> Lease {
        conn.streams.fetch_add(1, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Lease {
            sender: conn.sender.clone(),
            conn: Arc::clone(conn),
            endpoint: Arc::clone(self),
        }
    }

    /// A place on a connection; dials when there is none, once for all who wait.
    pub async fn lease(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Result<Lease, DialError> {
        let limits = &proxy.boot.limits;
        let (cap, most) = (
            limits.streams_per_connection,
            limits.connections_per_endpoint,
        );
        if let Some(lease) = self.best(proxy.generation(), cap, most) {
            return Ok(lease);
        }
        let since = Instant::now();
        let mut last = self.dialing.lock().await;
        if let Some(lease) = self.best(proxy.generation(), cap, most) {
            return Ok(lease);
        }
        if let Some((when, error)) = &*last
            && *when >= since
        {
            return Err(error.clone());
        }
        match self.dial_h2(proxy).await {
            Ok(conn) => {
                *last = None;
                self.failures.store(0, Ordering::Relaxed);
                self.ejected_until_ms.store(0, Ordering::Relaxed);
                if !self.gone.load(Ordering::Relaxed) {
                    self.conns().push(Arc::clone(&conn));
                }
                Ok(self.lend(&conn))
            }
            Err(error) => {
                *last = Some((Instant::now(), error.clone()));
                self.eject(proxy.now_ms());
                Err(error)
            }
        }
    }

    async fn dial_h2(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Result<Arc<Conn>, DialError> {
        let tls = proxy.tls.load_full().ok_or(DialError::NoCertificate)?;
        let stream = self.dial(proxy, &tls.h2).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_STREAM)
            .initial_connection_window_size(WINDOW_CONNECTION)
            .keep_alive_interval(PING)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| DialError::Tls(self.address, error.to_string()))?;
        proxy
            .metrics
            .upstream_connections
            .fetch_add(1, Ordering::Relaxed);
        let counted = Arc::clone(proxy);
        proxy.tasks.spawn(async move {
            // Its errors reach the requests on it; there is nobody else to tell.
            let _ = connection.await;
            counted
                .metrics
                .upstream_connections
                .fetch_sub(1, Ordering::Relaxed);
        });
        Ok(Arc::new(Conn {
            sender,
            streams: AtomicUsize::new(0),
            generation: tls.generation,
            used: Mutex::new(Instant::now()),
        }))
    }

    /// A raw tunnel to the application's port behind the endpoint's sidecar.
    pub async fn tunnel(&self, proxy: &Proxy) -> Result<TlsStream<TcpStream>, DialError> {
        let tls = proxy.tls.load_full().ok_or(DialError::NoCertificate)?;
        let result = self.dial(proxy, &tls.tcp).await;
        if result.is_err() {
            self.eject(proxy.now_ms());
        }
        result
    }

    async fn dial(
        &self,
        proxy: &Proxy,
        config: &Arc<ClientConfig>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let limit = Duration::from_millis(proxy.boot.limits.connect_timeout_ms);
        match tokio::time::timeout(limit, self.connect(config)).await {
            Ok(result) => result,
            Err(_) => Err(DialError::Timeout(self.address)),
        }
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, DialError> {
        let tcp = TcpStream::connect(self.address)
            .await
            .map_err(|error| DialError::Connect(self.address, error.to_string()))?;
        let tls_error = |error: io::Error| DialError::Tls(self.address, error.to_string());
        tcp.set_nodelay(true).map_err(tls_error)?;
        let name = ServerName::from(std::net::IpAddr::V4(*self.address.ip()));
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await
            .map_err(tls_error)?;
        let found = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|leaf| SpiffeId::of_certificate(leaf).ok());
        match found {
            Some(id) if id.as_str() == &*self.identity => Ok(stream),
            other => Err(DialError::Identity(
                self.address,
                other.map_or_else(|| "nobody".to_owned(), |id| id.as_str().to_owned()),
                self.identity.to_string(),
            )),
        }
    }
}
