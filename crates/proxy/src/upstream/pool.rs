//! The connections to one endpoint. HTTP/1.1: idle ones, the youngest first. HTTP/2: some, each with
//! a ceiling of streams, the least used first. Of another generation of TLS, or of an endpoint that
//! is gone, none gets a new request.
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use cloudwright_http1::client;
use cloudwright_http2::{self as http2, client::SendRequest};

use super::{
    Endpoint,
    cluster::Settings,
    dial::{DialError, dial},
};
use crate::io::Io;

const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// An HTTP/2 connection.
pub struct Conn {
    pub sender: SendRequest,
    streams: AtomicU32,
    generation: u64,
    used: Mutex<Instant>,
}

/// A place for one stream.
pub struct Place {
    pub conn: Arc<Conn>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.conn.streams.fetch_sub(1, Ordering::Relaxed);
        *lock(&self.conn.used) = Instant::now();
    }
}

struct Idle {
    conn: client::Connection<Io>,
    generation: u64,
    since: Instant,
}

#[derive(Default)]
struct Inner {
    idle: Mutex<Vec<Idle>>,
    conns: Mutex<Vec<Arc<Conn>>>,
    dialing: tokio::sync::Mutex<Option<(Instant, DialError)>>,
    gone: AtomicBool,
    /// It answered TLS with HTTP/1.1 though HTTP/2 was offered.
    http1_only: AtomicBool,
}

/// The connections to an endpoint; nothing is allocated before the first.
#[derive(Default)]
pub struct Pool(OnceLock<Box<Inner>>);

/// What a request gets.
pub enum Lent {
    Http1(client::Connection<Io>),
    Http2(Place),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn generation(settings: &Settings) -> u64 {
    settings.tls.as_ref().map_or(0, |tls| tls.generation)
}

impl Pool {
    fn inner(&self) -> &Inner {
        self.0.get_or_init(Box::default)
    }

    /// No new requests; connections end when they are idle.
    pub fn retire(&self) {
        let inner = self.inner();
        inner.gone.store(true, Ordering::Relaxed);
        lock(&inner.idle).clear();
        lock(&inner.conns).clear();
    }

    /// Open connections: idle HTTP/1.1 ones and HTTP/2 ones.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let counts = |inner: &Inner| (lock(&inner.idle).len(), lock(&inner.conns).len());
        self.0.get().map_or((0, 0), |inner| counts(inner))
    }

    /// Lets go of what is closed, unused for `idle`, or of another generation.
    pub fn sweep(&self, settings: &Settings) {
        let Some(inner) = self.0.get() else {
            return;
        };
        let (now, limit) = (generation(settings), settings.config.idle_timeout);
        let mut idle = lock(&inner.idle);
        idle.retain_mut(|one| {
            one.generation == now && one.since.elapsed() < limit && one.conn.is_idle_healthy()
        });
        if idle.is_empty() {
            *idle = Vec::new();
        }
        drop(idle);
        lock(&inner.conns).retain(|conn| {
            let busy = conn.streams.load(Ordering::Relaxed) > 0;
            !conn.sender.is_closed()
                && conn.generation == now
                && (busy || lock(&conn.used).elapsed() < limit)
        });
    }

    fn idle(&self, settings: &Settings) -> Option<client::Connection<Io>> {
        let now = generation(settings);
        let mut idle = lock(&self.inner().idle);
        while let Some(mut one) = idle.pop() {
            if one.generation == now && one.conn.is_idle_healthy() {
                return Some(one.conn);
            }
        }
        None
    }

    /// Takes back an HTTP/1.1 connection whose exchange is over.
    pub fn put(&self, conn: client::Connection<Io>, generation: u64, most: u32) {
        let inner = self.inner();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut idle = lock(&inner.idle);
        if !inner.gone.load(Ordering::Relaxed) && idle.len() < most {
            idle.push(Idle {
                conn,
                generation,
                since: Instant::now(),
            });
        }
    }

    fn best(&self, settings: &Settings) -> Option<Place> {
        let now = generation(settings);
        let mut conns = lock(&self.inner().conns);
        conns.retain(|one| one.generation == now && !one.sender.is_closed());
        let most = usize::try_from(settings.config.max_connections_per_endpoint);
        let full = conns.len() >= most.unwrap_or(usize::MAX);
        let conn = conns
            .iter()
            .min_by_key(|one| one.streams.load(Ordering::Relaxed))?;
        let ceiling = u32::try_from(conn.sender.current_max_send_streams()).unwrap_or(u32::MAX);
        let ceiling = ceiling.min(settings.config.max_streams);
        if !full && conn.streams.load(Ordering::Relaxed) >= ceiling {
            return None;
        }
        conn.streams.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            conn: Arc::clone(conn),
        })
    }

    /// A connection for one request: one that is there, or a new one.
    ///
    /// # Errors
    /// Why no new one could be made.
    pub async fn lend(
        &self,
        endpoint: &Endpoint,
        settings: &Settings,
        http2: bool,
    ) -> Result<Lent, DialError> {
        let inner = self.inner();
        if !http2 || inner.http1_only.load(Ordering::Relaxed) {
            if let Some(conn) = self.idle(settings) {
                return Ok(Lent::Http1(conn));
            }
            let dialed = dial(endpoint, settings, false).await?;
            if dialed.http2 {
                return Ok(Lent::Http2(self.begin(dialed.io, settings)));
            }
            return Ok(Lent::Http1(fresh(dialed.io)));
        }
        if let Some(place) = self.best(settings) {
            return Ok(Lent::Http2(place));
        }
        let since = Instant::now();
        let mut last = inner.dialing.lock().await;
        if let Some(place) = self.best(settings) {
            return Ok(Lent::Http2(place));
        }
        if let Some((when, error)) = &*last
            && *when >= since
        {
            return Err(error.clone());
        }
        let made = async {
            let dialed = dial(endpoint, settings, true).await?;
            if dialed.http2 {
                return Ok(Lent::Http2(self.begin(dialed.io, settings)));
            }
            inner.http1_only.store(true, Ordering::Relaxed);
            Ok(Lent::Http1(fresh(dialed.io)))
        };
        let made = made.await;
        *last = made
            .as_ref()
            .err()
            .map(|error: &DialError| (Instant::now(), error.clone()));
        made
    }

    fn begin(&self, io: Io, settings: &Settings) -> Place {
        let mut builder = http2::client::Builder::new();
        builder
            .initial_window_size(256 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024);
        if let Some(silence) = settings.config.keepalive {
            builder.keep_alive(silence, KEEPALIVE_ANSWER);
        }
        let (sender, connection) = builder.connect(io);
        let conn = Arc::new(Conn {
            sender,
            streams: AtomicU32::new(1),
            generation: generation(settings),
            used: Mutex::new(Instant::now()),
        });
        tokio::spawn(async move {
            // Its errors reach the streams on it; there is nobody else to tell.
            let _ = connection.await;
        });
        let inner = self.inner();
        if !inner.gone.load(Ordering::Relaxed) {
            lock(&inner.conns).push(Arc::clone(&conn));
        }
        Place { conn }
    }
}

fn fresh(io: Io) -> client::Connection<Io> {
    static LIMITS: OnceLock<Arc<cloudwright_http1::Limits>> = OnceLock::new();
    let limits = LIMITS.get_or_init(|| {
        Arc::new(cloudwright_http1::Limits {
            head_timeout: Duration::from_secs(24 * 3600),
            ..cloudwright_http1::Limits::default()
        })
    });
    client::Connection::new(io, Arc::clone(limits))
}
