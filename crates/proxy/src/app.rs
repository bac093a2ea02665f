//! Connections from a sidecar to its application on the loopback: HTTP/1.1 kept alive, or h2c.
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{Request, Response, request::Parts};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::{
    body::{Body, Replay},
    proxy::Proxy,
    record::Hold,
    retry::{Failed, classify, is_idempotent},
};

/// Shorter than the keep-alive of common servers (2 to 5 s), so that they do not close first.
const IDLE: Duration = Duration::from_millis(1_500);
const MAX_IDLE: usize = 64;

struct Idle {
    sender: http1::SendRequest<Body>,
    since: Instant,
}

#[derive(Default)]
struct Port {
    idle: Vec<Idle>,
    h2: Option<http2::SendRequest<Body>>,
}

/// Connections by port.
#[derive(Default)]
pub struct AppPool(Arc<Mutex<HashMap<u16, Port>>>);

/// Why the application did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the application does not accept connections on port {0}: {1}")]
    Refused(u16, io::Error),
    #[error("the application on port {0} closed the connection before it answered: {1}")]
    Broken(u16, String),
}

impl AppError {
    /// Whether the application saw nothing of the request.
    #[must_use]
    pub fn unprocessed(&self) -> bool {
        matches!(self, Self::Refused(..))
    }
}

/// Held until the answer ends; then the connection is free for the next request.
pub struct AppLease {
    pool: Arc<Mutex<HashMap<u16, Port>>>,
    port: u16,
    sender: Option<http1::SendRequest<Body>>,
    request: Replay,
}

impl Hold for AppLease {
    fn completed(&mut self) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        // With a part of the request unsent the connection is not at a message boundary.
        if sender.is_closed() || !self.request.consumed() {
            return;
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut pool.entry(self.port).or_default().idle;
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}

fn loopback(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

async fn connect(port: u16) -> Result<TcpStream, AppError> {
    let refused = |error| AppError::Refused(port, error);
    let stream = TcpStream::connect(loopback(port)).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    Ok(stream)
}

impl AppPool {
    fn take_idle(&self, port: u16) -> Option<http1::SendRequest<Body>> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut pool.get_mut(&port)?.idle;
        while let Some(one) = idle.pop() {
            if !one.sender.is_closed() && one.since.elapsed() < IDLE {
                return Some(one.sender);
            }
        }
        None
    }

    /// Lets go of connections that were idle for too long.
    pub fn sweep(&self) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for port in pool.values_mut() {
            port.idle
                .retain(|one| !one.sender.is_closed() && one.since.elapsed() < IDLE);
        }
    }

    /// Sends a request to the application over HTTP/1.1.
    pub async fn http1(
        &self,
        proxy: &Arc<Proxy>,
        port: u16,
        parts: Parts,
        body: &Replay,
    ) -> Result<(Response<Incoming>, AppLease), AppError> {
        let safe = is_idempotent(&parts.method) && body.is_empty();
        let mut idle = self.take_idle(port);
        loop {
            let reused = idle.is_some();
            let mut sender = match idle.take() {
                Some(mut sender) => {
                    if sender.ready().await.is_err() {
                        idle = self.take_idle(port);
                        continue;
                    }
                    sender
                }
                None => handshake(proxy, port).await?,
            };
            let request = Request::from_parts(parts.clone(), body.attempt());
            let error = match sender.try_send_request(request).await {
                Ok(response) => {
                    let pool = Arc::clone(&self.0);
                    let request = body.clone();
                    return Ok((
                        response,
                        AppLease {
                            pool,
                            port,
                            sender: Some(sender),
                            request,
                        },
                    ));
                }
                Err(error) => error,
            };
            let mut error = error;
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            // An idle connection that the application closed at the same moment: use a fresh one.
            if reused && (unsent || safe) && body.can_repeat() {
                continue;
            }
            return Err(AppError::Broken(port, crate::forward::describe(&error)));
        }
    }

    /// Sends a request to the application over HTTP/2 clear.
    pub async fn h2c(
        &self,
        proxy: &Arc<Proxy>,
        port: u16,
        parts: &Parts,
        body: &Replay,
    ) -> Result<Response<Incoming>, AppError> {
        let mut tries = 0;
        loop {
            let mut sender = self.h2_sender(proxy, port).await?;
            let request = Request::from_parts(parts.clone(), body.attempt());
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            let failed = classify(&error, unsent);
            tries += 1;
            if failed != Failed::Unprocessed || tries > 2 || !body.can_repeat() {
                return Err(AppError::Broken(port, crate::forward::describe(&error)));
            }
            self.forget_h2(port);
        }
    }

    fn forget_h2(&self, port: u16) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = pool.get_mut(&port) {
            port.h2 = None;
        }
    }

    async fn h2_sender(
        &self,
        proxy: &Arc<Proxy>,
        port: u16,
    ) -> Result<http2::SendRequest<Body>, AppError> {
        if let Some(known) = self.known_h2(port) {
            return Ok(known);
        }
        let stream = connect(port).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(2 * 1024 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| AppError::Broken(port, crate::forward::describe(&error)))?;
        proxy.tasks.spawn(async move {
            let _ = connection.await; // Its errors reach the requests on it.
        });
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.entry(port).or_default().h2 = Some(sender.clone());
        Ok(sender)
    }

    fn known_h2(&self, port: u16) -> Option<http2::SendRequest<Body>> {
        let pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.get(&port)?
            .h2
            .clone()
            .filter(|sender| !sender.is_closed())
    }
}

async fn handshake(proxy: &Arc<Proxy>, port: u16) -> Result<http1::SendRequest<Body>, AppError> {
    let stream = connect(port).await?;
    let (sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| AppError::Broken(port, crate::forward::describe(&error)))?;
    proxy.tasks.spawn(async move {
        let _ = connection.await; // Its errors reach the request on it.
    });
    Ok(sender)
}
