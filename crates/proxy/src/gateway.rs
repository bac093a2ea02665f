//! The gateway: routes of the snapshot on clear and TLS listeners, and the platform's own socket.
use std::{net::SocketAddr, path::Path, sync::Arc, sync::atomic::Ordering, time::Duration};

use http::{Method, Request, Response, StatusCode, Uri, uri::PathAndQuery};
use hyper::body::Incoming;
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::{
    body::Body,
    drain::Phase,
    exchange::{self, Exchange},
    headers, outbound,
    proxy::Proxy,
    respond::Refusal,
    router,
    serve::{self, Style},
    table::Cluster,
};

const HANDSHAKE: Duration = Duration::from_secs(10);

fn style(proxy: &Proxy) -> Style {
    let millis = proxy.boot.limits.header_timeout_ms;
    Style {
        header_timeout: (millis > 0).then(|| Duration::from_millis(millis)),
        ..Style::default()
    }
}

/// Serves one clear connection.
pub async fn handle_clear(proxy: Arc<Proxy>, stream: TcpStream, peer: SocketAddr) {
    serve_edge(proxy, stream, peer, "http").await;
}

/// Serves one TLS connection with the certificate that is current now.
pub async fn handle_tls(proxy: Arc<Proxy>, stream: TcpStream, peer: SocketAddr) {
    let Some(config) = proxy.edge.load_full() else {
        return;
    };
    match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => serve_edge(proxy, stream, peer, "https").await,
        Ok(Err(_)) | Err(_) => {
            proxy
                .metrics
                .handshakes_rejected
                .fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn serve_edge<I>(proxy: Arc<Proxy>, stream: I, peer: SocketAddr, scheme: &'static str)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::clone(&proxy);
    let style = style(&proxy);
    serve::http(proxy, stream, style, move |request| {
        answer(Arc::clone(&state), peer, scheme, request)
    })
    .await;
}

async fn answer(
    proxy: Arc<Proxy>,
    peer: SocketAddr,
    scheme: &'static str,
    request: Request<Incoming>,
) -> Response<Body> {
    let exchange = Exchange::begin(Arc::clone(&proxy), "gateway", &request);
    let host = exchange::host(&request);
    let path = request.uri().path();
    if request.method() == Method::CONNECT {
        let message = "this gateway is not a forward proxy";
        return exchange.refuse(&Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "connect",
            message,
        ));
    }
    if router::has_dot_segment(path) {
        let message = "the path has . or .. segments";
        return exchange.refuse(&Refusal::new(StatusCode::BAD_REQUEST, "bad_path", message));
    }
    let table = proxy.table.load_full();
    let Some((route, prefix)) = table.router.find(&host, path) else {
        let message = "no route matches this host and path";
        return exchange.refuse(&Refusal::new(StatusCode::NOT_FOUND, "no_route", message));
    };
    let Some(cluster) = route.cluster.as_ref().map(Cluster::choose) else {
        let message = format!("the Service {} does not exist", route.label);
        return exchange.refuse(&Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_service",
            message,
        ));
    };
    let (mut parts, incoming) = request.into_parts();
    if route.strip && !prefix.is_empty() {
        parts.uri = stripped(&parts.uri, prefix);
    }
    headers::remove_mesh(&mut parts.headers);
    headers::set_forwarded(&mut parts.headers, Some(peer.ip()), scheme, &host);
    exchange.run(&cluster, &route.policy, parts, incoming).await
}

/// The target without the route's prefix; authority and query stay.
fn stripped(uri: &Uri, prefix: &str) -> Uri {
    let path = router::strip(uri.path(), prefix);
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    match text.parse::<PathAndQuery>() {
        Ok(path) => parts.path_and_query = Some(path),
        Err(_) => return uri.clone(),
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// Serves the platform's socket, where `Host` names the Service.
pub async fn serve_mesh_socket(proxy: Arc<Proxy>, listener: UnixListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = proxy.drain.reached(Phase::Stopping) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let state = Arc::clone(&proxy);
        let style = Style {
            http1_only: true,
            ..Style::default()
        };
        proxy.tasks.spawn(serve::http(
            Arc::clone(&proxy),
            stream,
            style,
            move |request| outbound::named(Arc::clone(&state), request),
        ));
    }
}

/// Binds a Unix socket for its owner only, in place of one that a dead process left.
pub fn bind_unix(path: &Path) -> Result<UnixListener, String> {
    use std::os::unix::fs::PermissionsExt;
    let bad = |error: std::io::Error| format!("cannot listen on {}: {error}", path.display());
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            return Err(format!(
                "cannot listen on {}: another process does",
                path.display()
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(bad)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(bad)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(bad)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripping_keeps_the_query() {
        let strip = |uri: &str, prefix| stripped(&uri.parse().unwrap(), prefix).to_string();
        assert_eq!(strip("/pay/x?a=1", "/pay"), "/x?a=1");
        assert_eq!(strip("/pay?a=1", "/pay"), "/?a=1");
        assert_eq!(strip("http://h/pay", "/pay"), "http://h/");
    }
}
