//! The sidecar's outbound side: what the application sends, into the mesh or not at all.
use std::{net::SocketAddr, net::SocketAddrV4, sync::Arc, sync::atomic::Ordering, time::Duration};

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{
    body::Body,
    exchange::{self, Exchange},
    headers,
    proxy::Proxy,
    record::{Finish, Record},
    respond::Refusal,
    serve::{self, Style},
    snapshot::Protocol,
    table::{Cluster, Policy},
    tunnel,
};

/// Serves one captured connection.
pub async fn handle(proxy: Arc<Proxy>, stream: TcpStream, _peer: SocketAddr) {
    let Some(original) = serve::original_destination(&stream) else {
        // Nothing redirected it: used as a plain HTTP proxy, where `Host` names the Service.
        return by_host(proxy, stream).await;
    };
    let cluster = proxy.table.load().by_address(original).map(Cluster::choose);
    match cluster {
        Some(cluster) if cluster.protocol == Protocol::Tcp => raw(&proxy, stream, &cluster).await,
        Some(_) => {
            let state = Arc::clone(&proxy);
            serve::http(proxy, stream, Style::default(), move |request| {
                captured(Arc::clone(&state), original, request)
            })
            .await;
        }
        None if proxy.boot.egress => pass_through(&proxy, stream, original).await,
        None => refuse(&proxy, &stream, original),
    }
}

/// Answers with a reset, so that the application sees a refusal and not an empty answer.
fn refuse(proxy: &Arc<Proxy>, stream: &TcpStream, original: SocketAddrV4) {
    proxy
        .metrics
        .outbound_refused
        .fetch_add(1, Ordering::Relaxed);
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let mut record = Record::new("outbound");
    record.method = http::Method::CONNECT;
    record.upstream = original.to_string();
    record.flags = "unknown_destination";
    drop(Finish::new(
        Arc::clone(proxy),
        record,
        None,
        proxy.drain.enter(),
    ));
}

async fn raw(proxy: &Arc<Proxy>, mut stream: TcpStream, cluster: &Cluster) {
    let active = proxy.drain.enter();
    let mut record = Record::new("outbound");
    record.method = http::Method::CONNECT;
    record.service = Arc::clone(&cluster.label);
    match tunnel::open(proxy, cluster, &mut record).await {
        Ok(mut upstream) => {
            record.status = 200;
            let mut finish = Finish::new(Arc::clone(proxy), record, None, active);
            // Either side may break off; the record then says so.
            let _ = tunnel::join(&mut stream, &mut upstream, &mut finish).await;
        }
        Err(_) => {
            record.status = 503;
            record.flags = "no_endpoint";
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            drop(Finish::new(Arc::clone(proxy), record, None, active));
        }
    }
}

async fn pass_through(proxy: &Arc<Proxy>, mut stream: TcpStream, original: SocketAddrV4) {
    let active = proxy.drain.enter();
    let mut record = Record::new("egress");
    record.method = http::Method::CONNECT;
    record.upstream = original.to_string();
    match TcpStream::connect(original).await {
        Ok(mut upstream) => {
            record.status = 200;
            let mut finish = Finish::new(Arc::clone(proxy), record, None, active);
            // Either side may break off; the record then says so.
            let _ = tunnel::join(&mut stream, &mut upstream, &mut finish).await;
        }
        Err(_) => {
            record.status = 502;
            record.flags = "connect_failed";
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            drop(Finish::new(Arc::clone(proxy), record, None, active));
        }
    }
}

async fn by_host(proxy: Arc<Proxy>, stream: TcpStream) {
    let state = Arc::clone(&proxy);
    serve::http(proxy, stream, Style::default(), move |request| {
        named(Arc::clone(&state), request)
    })
    .await;
}

async fn captured(
    proxy: Arc<Proxy>,
    original: SocketAddrV4,
    request: Request<Incoming>,
) -> Response<Body> {
    // Looked up for each request: a long connection must follow the snapshot.
    let cluster = proxy.table.load().by_address(original).map(Cluster::choose);
    respond(proxy, request, cluster, || original.to_string()).await
}

/// Answers a request whose `Host` names the Service.
pub async fn named(proxy: Arc<Proxy>, request: Request<Incoming>) -> Response<Body> {
    let host = exchange::host(&request);
    let cluster = proxy
        .table
        .load()
        .by_host(&host, &proxy.boot.namespace)
        .map(Cluster::choose);
    respond(proxy, request, cluster, || host).await
}

async fn respond(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
    cluster: Option<Arc<Cluster>>,
    wanted: impl FnOnce() -> String,
) -> Response<Body> {
    let exchange = Exchange::begin(proxy, "outbound", &request);
    let Some(cluster) = cluster else {
        let message = format!("the mesh knows no Service {}", wanted());
        return exchange.refuse(&Refusal::new(
            StatusCode::BAD_GATEWAY,
            "unknown_service",
            message,
        ));
    };
    let (mut parts, incoming) = request.into_parts();
    headers::remove_mesh(&mut parts.headers);
    if parts.headers.get(header::EXPECT).is_some() {
        // hyper answered 100 when the body is read; upstream has no use for the field.
        parts.headers.remove(header::EXPECT);
    }
    exchange
        .run(&cluster, &Policy::default(), parts, incoming)
        .await
}
