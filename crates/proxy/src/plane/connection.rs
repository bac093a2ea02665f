//! One connection of a client, from its first byte to its last.
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use cloudwright_config::listener::{HttpLimits, Protocol};
use cloudwright_http1 as http1;
use cloudwright_http2::{self as http2, Reason};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use tokio::{
    io::{AsyncReadExt, copy_bidirectional_with_sizes},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{
    rewind::Rewind,
    served::Served,
    shared::{Shared, bump},
};
use crate::{
    drain::Phase,
    flow::{
        body::{Body, Source, Stream},
        exchange::{self, Client},
        finish::Finish,
        pump::Pump,
    },
    io::Io,
    respond::Refusal,
    upstream::dial::dial,
};

const HANDSHAKE: Duration = Duration::from_secs(10);
const TUNNEL_BYTES: usize = 16 * 1024;
/// Enough for a usual request line.
const FIRST_BYTES: usize = 256;
/// How every HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection that a listener accepted.
pub async fn serve(shared: Arc<Shared>, served: Arc<Served>, tcp: TcpStream, peer: SocketAddr) {
    let Some((io, http2, identity)) = open(&shared, &served, tcp).await else {
        return;
    };
    let protocol = served.config.load().protocol;
    if protocol == Protocol::Tcp {
        tunnel(&shared, &served, io).await;
        return;
    }
    let client = Client {
        peer: Some(peer),
        peer_text: HeaderValue::from_str(&peer.ip().to_string()).ok(),
        secure: matches!(io, Io::Server(_)),
        identity,
        shared,
        served,
    };
    let limits = client.served.config.load().limits.clone();
    let chosen = match protocol {
        Protocol::Http1 => Some(false),
        Protocol::Http2 => Some(true),
        _ => http2,
    };
    if chosen == Some(false) {
        return serve_http1(client, io, Bytes::new(), &limits).await;
    }
    // Also where HTTP/2 is agreed on: its preface has a deadline then.
    let mut io = io;
    match sniff(&client.shared, &mut io, &limits).await {
        Some((first, true)) => serve_http2(client, io, first, &limits).await,
        Some((first, false)) if chosen.is_none() => serve_http1(client, io, first, &limits).await,
        Some(_) => client.shared.fault("preface"),
        None => {}
    }
}

/// The TLS handshake where there is one; whether ALPN chose HTTP/2; who the client proved to be.
async fn open(
    shared: &Arc<Shared>,
    served: &Arc<Served>,
    tcp: TcpStream,
) -> Option<(Io, Option<bool>, Option<Arc<str>>)> {
    let Some(tls) = served.tls.load_full() else {
        return Some((Io::Tcp(tcp), None, None));
    };
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            let http2 = session.alpn_protocol().map(|name| name == b"h2");
            let identity = session
                .peer_certificates()
                .and_then(|chain| chain.first())
                .and_then(|leaf| crate::credentials::client::names(leaf).into_iter().next())
                .map(Arc::from);
            Some((Io::Server(Box::new(stream)), http2, identity))
        }
        Ok(Err(_)) | Err(_) => {
            bump(&shared.counters.handshakes_refused);
            None
        }
    }
}

/// What a connection begins with.
enum First {
    Http1,
    Http2,
    /// A whole line without `HTTP/`.
    Nonsense,
}

/// What the bytes read so far are the beginning of; `None` when more are needed.
fn first(bytes: &[u8], full: bool) -> Option<First> {
    let head = bytes.get(..PREFACE.len()).unwrap_or(bytes);
    if PREFACE.starts_with(head) {
        return (head.len() == PREFACE.len()).then_some(First::Http2);
    }
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    if line.len() < bytes.len() {
        let http = line.windows(6).any(|six| six == b" HTTP/") || line.len() <= 1;
        return Some(if http { First::Http1 } else { First::Nonsense });
    }
    full.then_some(First::Http1)
}

/// Reads the first bytes, until they say what is spoken; at most as long as a head may take.
async fn sniff(shared: &Shared, io: &mut Io, limits: &HttpLimits) -> Option<(Bytes, bool)> {
    let read = async {
        let mut buffer = [0u8; FIRST_BYTES];
        let mut length = 0;
        loop {
            let room = buffer.get_mut(length..)?;
            let count = io.read(room).await.ok().filter(|count| *count > 0)?;
            length += count;
            let bytes = buffer.get(..length)?;
            match first(bytes, length == FIRST_BYTES) {
                None => {}
                Some(First::Nonsense) => {
                    shared.fault("no-http");
                    return None;
                }
                Some(found) => {
                    let http2 = matches!(found, First::Http2);
                    return Some((Bytes::copy_from_slice(bytes), http2));
                }
            }
        }
    };
    tokio::time::timeout(limits.header_timeout, read)
        .await
        .ok()?
}

/// Bytes to and from an endpoint of the listener's cluster.
async fn tunnel(shared: &Arc<Shared>, served: &Arc<Served>, mut io: Io) {
    let Some(cluster) = served.cluster.load_full() else {
        return;
    };
    let Some(settings) = cluster.settings().clone() else {
        return;
    };
    let _active = shared.drain.enter();
    let mut tried = Vec::new();
    while let Some(endpoint) = cluster.pick(&tried, None, shared.state.now_ms()) {
        if tried.iter().any(|one| Arc::ptr_eq(one, &endpoint)) || tried.len() > 3 {
            break;
        }
        if let Ok(mut dialed) = dial(&endpoint, &settings, false).await {
            endpoint.enter();
            // Either side may break off.
            let _ =
                copy_bidirectional_with_sizes(&mut io, &mut dialed.io, TUNNEL_BYTES, TUNNEL_BYTES)
                    .await;
            endpoint.leave();
            return;
        }
        let now = shared.state.now_ms();
        cluster.answered(&endpoint, crate::upstream::outlier::Answer::Gateway, now);
        tried.push(endpoint);
    }
}

fn http1_limits(limits: &HttpLimits) -> Arc<http1::Limits> {
    Arc::new(http1::Limits {
        max_head: usize::try_from(limits.max_header_bytes).unwrap_or(64 * 1024),
        max_body: (limits.max_body_bytes > 0).then_some(limits.max_body_bytes),
        head_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        ..http1::Limits::default()
    })
}

async fn serve_http1(client: Client, io: Io, first: Bytes, limits: &HttpLimits) {
    let shared = Arc::clone(&client.shared);
    let mut conn = http1::server::Connection::with_prefix(io, first, http1_limits(limits));
    let mut leaving = pin!(shared.drain.reached(Phase::Draining));
    let mut left = false;
    loop {
        let accepted = {
            let mut accept = pin!(conn.accept());
            poll_fn(|cx| {
                if !left && leaving.as_mut().poll(cx).is_ready() {
                    left = true;
                    return Poll::Ready(None);
                }
                accept.as_mut().poll(cx).map(Some)
            })
            .await
        };
        let request = match accepted {
            None => {
                conn.graceful_shutdown();
                continue;
            }
            Some(None) => break,
            Some(Some(Err(error))) => {
                client.shared.fault(error.reason());
                continue;
            }
            Some(Some(Ok(request))) => request.map(|body| Body::from(Source::Request(body))),
        };
        let answered = {
            // On the heap: its state is large, and a waiting connection must not keep room for it.
            let mut work = Box::pin(exchange::answer(&client, request));
            poll_fn(|cx| {
                if let Poll::Ready(response) = work.as_mut().poll(cx) {
                    return Poll::Ready(Some(response));
                }
                conn.poll_closed(cx).map(|()| None)
            })
            .await
        };
        // A client that is gone wants no answer: the work was dropped with the request.
        let Some(response) = answered else {
            break;
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            upgrade(conn, response).await;
            return;
        }
        if conn.respond(response).await.is_err() {
            if !conn.is_answerable() {
                break;
            }
            // The endpoint broke off before a byte of its answer went out.
            let text = "the endpoint broke off within its answer";
            let refusal = Refusal::new(StatusCode::BAD_GATEWAY, "reset", text);
            let answer = refusal.message_for(false).map(Body::full);
            if conn.respond(answer).await.is_err() {
                break;
            }
        }
    }
}

/// Hands both sockets to each other after a 101.
async fn upgrade(mut conn: http1::server::Connection<Io>, response: Response<Body>) {
    let (parts, mut body) = response.into_parts();
    let Some((mut upstream, early)) = body.take_upgraded() else {
        return;
    };
    let finish = body.take_finish();
    if conn
        .respond(Response::from_parts(parts, Body::empty()))
        .await
        .is_err()
    {
        return;
    }
    let Some((client, ahead)) = conn.into_parts() else {
        return;
    };
    let mut client = Rewind::new(client, ahead);
    let joined = async {
        use tokio::io::AsyncWriteExt;
        client.write_all(&early).await?;
        client.flush().await?;
        copy_bidirectional_with_sizes(&mut client, &mut upstream, TUNNEL_BYTES, TUNNEL_BYTES).await
    };
    let result: io::Result<(u64, u64)> = joined.await;
    if let (Ok((_, down)), Some(mut finish)) = (result, finish) {
        Finish::add_bytes(&mut finish, down);
        finish.complete();
    }
}

async fn serve_http2(client: Client, io: Io, first: Bytes, limits: &HttpLimits) {
    let mut builder = http2::server::Builder::new();
    builder
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .keep_alive(limits.keepalive, limits.keepalive_timeout);
    let shared = Arc::clone(&client.shared);
    let mut conn = builder.serve(io, first);
    let client = Arc::new(client);
    let mut leaving = pin!(shared.drain.reached(Phase::Draining));
    let mut left = false;
    loop {
        let accepted = poll_fn(|cx| {
            if !left && leaving.as_mut().poll(cx).is_ready() {
                left = true;
                return Poll::Ready(None);
            }
            conn.poll_accept(cx).map(Some)
        })
        .await;
        match accepted {
            None => conn.graceful_shutdown(),
            Some(Some(Ok((request, respond)))) => {
                tokio::spawn(stream(Arc::clone(&client), request, respond));
            }
            Some(Some(Err(error))) => {
                if !error.is_io() {
                    client.shared.fault(error.cause());
                }
                break;
            }
            Some(None) => break,
        }
    }
}

/// One stream of an HTTP/2 connection.
async fn stream(
    client: Arc<Client>,
    request: Request<http2::RecvStream>,
    mut respond: http2::server::SendResponse,
) {
    let request = request.map(|stream| Body::from(Source::Stream(Stream::new(stream))));
    let answered = {
        let mut work = pin!(exchange::answer(&client, request));
        poll_fn(|cx| {
            if let Poll::Ready(response) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            respond.poll_reset(cx).map(|_| None)
        })
        .await
    };
    let Some(response) = answered else {
        return;
    };
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_2;
    let empty = body.is_end_stream();
    match respond.send_response(Response::from_parts(parts, ()), empty) {
        Ok(stream) if !empty => {
            let mut pump = Pump::new(stream, body);
            // That it fails ends the stream; the record says so.
            let _ = poll_fn(|cx| pump.poll(cx)).await;
        }
        Ok(_) => {}
        Err(_) => respond.send_reset(Reason::INTERNAL_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_what_is_spoken() {
        let of = |text: &str, full| match first(text.as_bytes(), full) {
            None => "more",
            Some(First::Http1) => "http1",
            Some(First::Http2) => "http2",
            Some(First::Nonsense) => "nonsense",
        };
        assert_eq!(of("PR", false), "more");
        assert_eq!(of("PRI * HTTP/2.0\r\n", false), "more");
        assert_eq!(of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxx", false), "http2");
        assert_eq!(of("PROPFIND / HTTP/1.1\r\n", false), "http1");
        assert_eq!(of("GET / HT", false), "more");
        assert_eq!(of("GET /a-very-long-target", true), "http1");
        assert_eq!(of("\r\nGET / HTTP/1.1\r\n", false), "http1");
        assert_eq!(of("INVALID CONNECTION PREFACE\r\n\r\n", false), "nonsense");
    }
}
