//! The sidecar's inbound side: mTLS from a mesh peer, clear to the application on the loopback.
use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, Uri, Version, header, request::Parts};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    app::AppError,
    body::{Body, Guarded, Replay},
    headers,
    identity::SpiffeId,
    proxy::Proxy,
    record::{Finish, Hold, Record},
    respond::Refusal,
    serve::{self, Style},
    snapshot::Protocol,
    tls, tunnel,
};

const HANDSHAKE: Duration = Duration::from_secs(5);

/// Serves one accepted connection; anything but mTLS of our trust domain is refused.
pub async fn handle(proxy: Arc<Proxy>, stream: TcpStream, _peer: SocketAddr) {
    let Some(port) = application_port(&proxy, &stream) else {
        proxy
            .metrics
            .handshakes_rejected
            .fetch_add(1, Ordering::Relaxed);
        return;
    };
    let Some(config) = proxy.tls.load_full() else {
        proxy
            .metrics
            .handshakes_rejected
            .fetch_add(1, Ordering::Relaxed);
        return;
    };
    let acceptor = TlsAcceptor::from(Arc::clone(&config.inbound));
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) | Err(_) => {
            proxy
                .metrics
                .handshakes_rejected
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    let session = stream.get_ref().1;
    let peer = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|leaf| SpiffeId::of_certificate(leaf).ok());
    let (Some(peer), Some(alpn)) = (peer, session.alpn_protocol().map(<[u8]>::to_vec)) else {
        proxy
            .metrics
            .handshakes_rejected
            .fetch_add(1, Ordering::Relaxed);
        return;
    };
    if alpn == tls::ALPN_TCP {
        raw(&proxy, stream, port, &peer).await;
    } else {
        let style = Style {
            retires: true,
            http2_only: true,
            ..Style::default()
        };
        let state = Arc::clone(&proxy);
        let peer = Arc::new(Peer::new(&peer));
        serve::http(proxy, stream, style, move |request| {
            answer(Arc::clone(&state), port, Arc::clone(&peer), request)
        })
        .await;
    }
}

/// The application's port; never one of the proxy's own.
fn application_port(proxy: &Proxy, stream: &TcpStream) -> Option<u16> {
    let boot = &proxy.boot;
    let port = match serve::original_destination(stream) {
        Some(original) => original.port(),
        None => boot.app_port?,
    };
    let own = [boot.inbound_port, boot.outbound_port, boot.dns_port];
    (boot.app_port == Some(port) || !own.contains(&port)).then_some(port)
}

struct Peer {
    identity: Arc<str>,
    namespace: Option<HeaderValue>,
}

impl Peer {
    fn new(id: &SpiffeId) -> Self {
        let namespace = id
            .namespace()
            .and_then(|name| HeaderValue::from_str(name).ok());
        Self {
            identity: id.as_str().into(),
            namespace,
        }
    }
}

async fn raw(proxy: &Arc<Proxy>, mut stream: TlsStream<TcpStream>, port: u16, peer: &SpiffeId) {
    let mut record = Record::new("inbound");
    record.method = http::Method::CONNECT;
    record.peer = peer.as_str().into();
    record.upstream = format!("127.0.0.1:{port}");
    let active = proxy.drain.enter();
    match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(mut app) => {
            record.status = 200;
            let _ = app.set_nodelay(true);
            let mut finish = Finish::new(Arc::clone(proxy), record, None, active);
            // Either side may break off; the record then says so.
            let _ = tunnel::join(&mut stream, &mut app, &mut finish).await;
        }
        Err(_) => {
            record.status = 503;
            record.flags = "app_refused";
            drop(Finish::new(Arc::clone(proxy), record, None, active));
        }
    }
}

async fn answer(
    proxy: Arc<Proxy>,
    port: u16,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let active = proxy.drain.enter();
    let (mut parts, incoming) = request.into_parts();
    let mut record = Record::new("inbound");
    record.method = parts.method.clone();
    record.path = parts.uri.path().to_owned();
    record.host = parts
        .uri
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    record.peer = Arc::clone(&peer.identity);
    record.upstream = format!("127.0.0.1:{port}");
    record.request_id = Some(headers::ensure_request_id(&mut parts.headers));
    if let Some(namespace) = &peer.namespace {
        parts.headers.insert(headers::MESH_NS, namespace.clone());
    }
    headers::remove_hop_by_hop(&mut parts.headers);
    let grpc = headers::is_grpc(&parts.headers);
    let clear2 = grpc || proxy.table.load().local_protocol(port) == Some(Protocol::Grpc);
    let replay = proxy.boot.limits.replay_bytes;
    let body = Replay::new(Guarded::new(incoming, None, None), replay);
    let sent = if clear2 {
        send_h2c(&proxy, port, parts, &body).await
    } else {
        send_http1(&proxy, port, parts, &body).await
    };
    let (mut response, hold) = match sent {
        Ok((response, hold)) => (response.map(Body::incoming), hold),
        Err(error) => (refuse(&error, grpc, &mut record), None),
    };
    let unprocessed = response.extensions_mut().remove::<Unprocessed>().is_some();
    headers::remove_hop_by_hop(response.headers_mut());
    headers::remove_mesh(response.headers_mut());
    headers::set_mesh(response.headers_mut(), &proxy.namespace, &proxy.sidecar);
    if unprocessed {
        response
            .headers_mut()
            .insert(headers::UNPROCESSED, HeaderValue::from_static("1"));
    }
    record.status = response.status().as_u16();
    let finish = Finish::new(Arc::clone(&proxy), record, hold, active);
    *response.version_mut() = Version::HTTP_2;
    response.map(|body| body.finishing(finish))
}

#[derive(Clone, Copy)]
struct Unprocessed;

fn refuse(error: &AppError, grpc: bool, record: &mut Record) -> Response<Body> {
    record.flags = if error.unprocessed() {
        "app_refused"
    } else {
        "app_broken"
    };
    if error.unprocessed() {
        // Not in gRPC's form: the calling proxy must see that it may try elsewhere.
        let refusal = Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "app_refused",
            error.to_string(),
        );
        let mut response = refusal.answer(false);
        response.extensions_mut().insert(Unprocessed);
        return response;
    }
    Refusal::new(StatusCode::BAD_GATEWAY, "app_broken", error.to_string()).answer(grpc)
}

type Sent = Result<(Response<Incoming>, Option<Box<dyn Hold>>), AppError>;

async fn send_http1(proxy: &Arc<Proxy>, port: u16, mut parts: Parts, body: &Replay) -> Sent {
    parts.version = Version::HTTP_11;
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
    if let Some(path) = parts.uri.path_and_query() {
        parts.uri = Uri::from(path.clone());
    }
    join_cookies(&mut parts);
    let (response, lease) = proxy.app.http1(proxy, port, parts, body).await?;
    Ok((response, Some(Box::new(lease))))
}

async fn send_h2c(proxy: &Arc<Proxy>, port: u16, mut parts: Parts, body: &Replay) -> Sent {
    parts.version = Version::HTTP_2;
    let response = proxy.app.h2c(proxy, port, &parts, body).await?;
    Ok((response, None))
}

/// HTTP/2 may split cookies into several fields, HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(parts: &mut Parts) {
    let all: Vec<&[u8]> = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if all.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        parts.headers.insert(header::COOKIE, joined);
    }
}
