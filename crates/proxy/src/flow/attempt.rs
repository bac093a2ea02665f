//! One request to one endpoint, over a connection that is there or a new one.
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

use cloudwright_config::cluster::Protocol;
use cloudwright_http1::client;
use cloudwright_http2 as http2;
use http::{Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Body as _;

use super::{
    body::{Body, Source, Stream},
    pump::Pump,
};
use crate::{
    headers,
    io::Io,
    upstream::{
        Cluster, Endpoint,
        cluster::Settings,
        pool::{Lent, Place},
    },
};

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The endpoint saw nothing of it, surely.
    Unprocessed,
    /// The connection or stream broke before an answer; the endpoint may have acted.
    Reset,
    /// The client's own body is malformed: to be answered with this status.
    Client(StatusCode),
}

/// A failure, with the request when it can be sent again as it is.
pub struct Failure {
    pub failed: Failed,
    pub message: String,
    pub request: Option<Box<(Parts, Body)>>,
}

/// What an answer holds on to: a place on a connection, and the count of the endpoint.
pub struct Hold {
    cluster: Arc<Cluster>,
    endpoint: Arc<Endpoint>,
    place: Option<Place>,
}

impl Hold {
    fn new(cluster: &Arc<Cluster>, endpoint: &Arc<Endpoint>) -> Self {
        endpoint.enter();
        cluster.load.requests.fetch_add(1, Ordering::Relaxed);
        Self {
            cluster: Arc::clone(cluster),
            endpoint: Arc::clone(endpoint),
            place: None,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.place = None;
        self.cluster.load.requests.fetch_sub(1, Ordering::Relaxed);
        self.endpoint.leave();
    }
}

/// Gives HTTP/1.1 connections back to the pool of their endpoint.
struct Back {
    endpoint: Arc<Endpoint>,
    generation: u64,
    most: u32,
}

impl client::Reclaim<Io> for Back {
    fn ended(&self, connection: Option<client::Connection<Io>>) {
        if let Some(connection) = connection {
            self.endpoint
                .pool
                .put(connection, self.generation, self.most);
        }
    }
}

/// Whether HTTP/2 is the better choice for a request to a cluster.
fn prefers_http2(settings: &Settings, parts: &Parts) -> bool {
    match settings.config.protocol {
        Protocol::Http2 => true,
        Protocol::Http1 | Protocol::Tcp => false,
        Protocol::Auto => settings.tls.is_some() || headers::is_grpc(&parts.headers),
    }
}

/// Sends a request and waits for the head of its answer.
///
/// # Errors
/// How it failed.
pub async fn send(
    cluster: &Arc<Cluster>,
    endpoint: &Arc<Endpoint>,
    settings: &Settings,
    parts: Parts,
    body: Body,
) -> Result<(Response<Body>, Hold), Failure> {
    let upgrade = parts.version < Version::HTTP_2 && headers::is_upgrade(&parts.headers);
    let http2 = !upgrade && prefers_http2(settings, &parts);
    let mut hold = Hold::new(cluster, endpoint);
    match endpoint.pool.lend(endpoint, settings, http2).await {
        Err(error) => Err(Failure {
            failed: Failed::Unprocessed,
            message: error.to_string(),
            request: Some(Box::new((parts, body))),
        }),
        Ok(Lent::Http1(conn)) => {
            let response = http1(endpoint, settings, conn, parts, body).await?;
            Ok((response, hold))
        }
        Ok(Lent::Http2(place)) => {
            let response = http2_stream(&place, parts, body).await?;
            hold.place = Some(place);
            Ok((response, hold))
        }
    }
}

async fn http1(
    endpoint: &Arc<Endpoint>,
    settings: &Settings,
    mut conn: client::Connection<Io>,
    mut parts: Parts,
    body: Body,
) -> Result<Response<Body>, Failure> {
    conn.set_reclaim(Arc::new(Back {
        endpoint: Arc::clone(endpoint),
        generation: settings.tls.as_ref().map_or(0, |tls| tls.generation),
        most: settings.config.max_connections_per_endpoint,
    }));
    parts.version = Version::HTTP_11;
    match conn.send(Request::from_parts(parts, body)).await {
        Ok(response) => Ok(response.map(|body| Source::Response(Box::new(body)).into())),
        Err(error) => Err(Failure {
            failed: match error.request_fault() {
                Some(fault) => Failed::Client(fault.status()),
                None if error.processed => Failed::Reset,
                None => Failed::Unprocessed,
            },
            message: error.error.to_string(),
            request: error.request.map(|request| Box::new(request.into_parts())),
        }),
    }
}

async fn http2_stream(place: &Place, parts: Parts, body: Body) -> Result<Response<Body>, Failure> {
    let mut sender = place.conn.sender.clone();
    let failure = |error: &http2::Error, request| Failure {
        failed: classify(error),
        message: error.to_string(),
        request,
    };
    if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
        let request = Some(Box::new((parts, body)));
        return Err(Failure {
            failed: Failed::Unprocessed,
            ..failure(&error, request)
        });
    }
    let mut parts = parts;
    parts.version = Version::HTTP_2;
    parts.headers.remove(header::HOST);
    let empty = body.is_end_stream();
    let copy = parts.clone();
    let (mut response, stream) = match sender.send_request(Request::from_parts(parts, ()), empty) {
        Ok(pair) => pair,
        Err(error) => {
            let request = Some(Box::new((copy, body)));
            return Err(Failure {
                failed: Failed::Unprocessed,
                ..failure(&error, request)
            });
        }
    };
    let mut pump = if empty {
        Pump::ended(stream)
    } else {
        Pump::new(stream, body)
    };
    let answer = poll_fn(|cx| {
        // That sending fails is no end: the endpoint may have answered early.
        let _ = pump.poll(cx);
        Pin::new(&mut response).poll(cx)
    })
    .await;
    match answer {
        Ok(response) => Ok(response.map(|stream| {
            let stream = Stream::new(stream);
            if pump.is_done() {
                Source::Stream(stream).into()
            } else {
                Source::Answer(Box::new((stream, pump))).into()
            }
        })),
        Err(error) => {
            let request = empty.then(|| Box::new((copy, Body::empty())));
            Err(failure(&error, request))
        }
    }
}

/// What an error of HTTP/2 says about the fate of the request.
fn classify(error: &http2::Error) -> Failed {
    if error.is_unprocessed() {
        Failed::Unprocessed
    } else {
        Failed::Reset
    }
}
