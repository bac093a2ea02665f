//! Raw bytes in both directions: TCP Services, upgrades, port-forwards.
use std::{io, sync::Arc};

use http::{Request, Response, StatusCode, Version, request::Parts};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};

use crate::{
    body::Body,
    forward::describe,
    proxy::Proxy,
    record::{Finish, Record},
    respond::Refusal,
    table::Cluster,
};

const BUFFER_BYTES: usize = 16 * 1024;

/// Copies until both sides are done; counts the bytes that went to `client`.
pub async fn join<A, B>(client: &mut A, upstream: &mut B, finish: &mut Finish) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (_, down) =
        copy_bidirectional_with_sizes(client, upstream, BUFFER_BYTES, BUFFER_BYTES).await?;
    finish.add_bytes(down);
    finish.complete();
    Ok(())
}

/// Opens a raw tunnel to an endpoint of `cluster`, trying each at most once.
pub async fn open(
    proxy: &Arc<Proxy>,
    cluster: &Cluster,
    record: &mut Record,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, Refusal> {
    let mut tried = Vec::new();
    let mut message = "it has none".to_owned();
    while let Some((index, endpoint)) = cluster.pick(&tried, None, proxy.now_ms()) {
        if tried.contains(&index) || tried.len() > 3 {
            break;
        }
        record.upstream = endpoint.address.to_string();
        match endpoint.tunnel(proxy).await {
            Ok(stream) => return Ok(stream),
            Err(error) => message = error.to_string(),
        }
        tried.push(index);
    }
    let text = format!("no healthy endpoint of {}: {message}", cluster.label);
    Err(Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no_endpoint",
        text,
    ))
}

/// Passes an HTTP/1.1 upgrade (WebSocket, …) through a raw tunnel to the application.
pub async fn upgrade(
    proxy: &Arc<Proxy>,
    cluster: &Cluster,
    mut parts: Parts,
    incoming: Incoming,
    mut record: Record,
) -> Result<Response<Body>, (Record, Refusal)> {
    let stream = match open(proxy, cluster, &mut record).await {
        Ok(stream) => stream,
        Err(refusal) => return Err((record, refusal)),
    };
    let bad =
        |error: hyper::Error| Refusal::new(StatusCode::BAD_GATEWAY, "reset", describe(&error));
    let (mut sender, connection) = match http1::handshake::<_, Incoming>(TokioIo::new(stream)).await
    {
        Ok(pair) => pair,
        Err(error) => return Err((record, bad(error))),
    };
    proxy.tasks.spawn(async move {
        let _ = connection.with_upgrades().await; // Its errors reach the request on it.
    });
    let client = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    parts.version = Version::HTTP_11;
    let mut response = match sender
        .send_request(Request::from_parts(parts, incoming))
        .await
    {
        Ok(response) => response,
        Err(error) => return Err((record, bad(error))),
    };
    record.status = response.status().as_u16();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let finish = Finish::new(Arc::clone(proxy), record, None, proxy.drain.enter());
        return Ok(response.map(|body| Body::incoming(body).finishing(finish)));
    }
    let upstream = hyper::upgrade::on(&mut response);
    let finish = Finish::new(Arc::clone(proxy), record, None, proxy.drain.enter());
    if let Some(client) = client {
        proxy.tasks.spawn(splice(client, upstream, finish));
    }
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, Body::empty()))
}

async fn splice(
    client: hyper::upgrade::OnUpgrade,
    upstream: hyper::upgrade::OnUpgrade,
    mut finish: Finish,
) {
    if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) {
        // Either side may break off; the record then says so.
        let _ = join(
            &mut TokioIo::new(client),
            &mut TokioIo::new(upstream),
            &mut finish,
        )
        .await;
    }
}
