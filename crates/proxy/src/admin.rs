//! The admin socket: what the platform asks of a proxy.
use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpStream, UnixListener},
};

use crate::{
    accesslog::rfc3339, body::Body, bootstrap::Role, drain::Phase, headers, probe, proxy::Proxy,
};

const MAX_BODY: usize = 64 * 1024;
const TUNNEL_BUFFER: usize = 64 * 1024;

/// Serves the socket for ever.
pub async fn serve(proxy: Arc<Proxy>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let state = Arc::clone(&proxy);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, std::convert::Infallible>(answer(state, request).await) }
            });
            // A caller that goes away ends only its own connection.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

fn respond(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::full(format!("{value}\n")));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    respond(status, &json!({"message": message}))
}

async fn answer(proxy: Arc<Proxy>, request: Request<Incoming>) -> Response<Body> {
    let query: HashMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<u64>().ok());
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/ready") => ready(&proxy),
        (&Method::GET, "/config") => respond(StatusCode::OK, &config(&proxy)),
        (&Method::GET, "/metrics") => metrics(&proxy),
        (&Method::GET, "/wait") => {
            let limit = number("timeout_ms").unwrap_or(5_000);
            let wanted = Wanted {
                version: number("version"),
                serial_not: query.get("serial_not").cloned(),
                ready: query.contains_key("ready"),
            };
            if wanted.nothing() {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    "version (a number), serial_not or ready is needed",
                );
            }
            wait(&proxy, &wanted, Duration::from_millis(limit)).await
        }
        (&Method::POST, "/probe") => {
            match Limited::new(request.into_body(), MAX_BODY).collect().await {
                Ok(body) => {
                    let found = probe::run(&body.to_bytes()).await;
                    respond(StatusCode::OK, &json!(found))
                }
                Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
            }
        }
        (&Method::POST, "/drain") => {
            let limit = number("timeout_ms").unwrap_or(proxy.boot.drain_timeout_ms);
            proxy.drain.advance(Phase::Draining);
            let idle = proxy.drain.wait_idle(Duration::from_millis(limit)).await;
            respond(
                StatusCode::OK,
                &json!({"idle": idle, "active": proxy.drain.active()}),
            )
        }
        (&Method::GET, "/tunnel") => {
            let port = number("port").and_then(|port| u16::try_from(port).ok());
            tunnel(&proxy, port, request).await
        }
        _ => refuse(
            StatusCode::NOT_FOUND,
            "no such request; see the internals page",
        ),
    }
}

fn ready(proxy: &Proxy) -> Response<Body> {
    let reasons = proxy.not_ready();
    if reasons.is_empty() {
        respond(StatusCode::OK, &json!({"ready": true}))
    } else {
        respond(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"ready": false, "reasons": reasons}),
        )
    }
}

fn config(proxy: &Proxy) -> serde_json::Value {
    let applied = proxy.applied.borrow().clone();
    let tls = proxy.tls.load_full();
    let table = proxy.table.load();
    let until = tls
        .as_ref()
        .and_then(|tls| u64::try_from(tls.facts.not_after).ok());
    json!({
        "version": applied.version,
        "rejected": applied.rejected,
        "cert_serial": tls.as_ref().map(|tls| tls.facts.serial.clone()),
        "cert_not_after": until.map(|at| rfc3339(std::time::UNIX_EPOCH + Duration::from_secs(at))),
        "cert_rejected": applied.certificate,
        "draining": proxy.drain.phase() != Phase::Serving,
        "active": proxy.drain.active(),
        "endpoints": table.endpoints.len(),
        "routes": table.routes,
    })
}

fn metrics(proxy: &Proxy) -> Response<Body> {
    let mut response = Response::new(Body::full(proxy.metrics.render(&proxy.gauges())));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What `/wait` waits for: all that is given.
struct Wanted {
    /// This snapshot or a later one is applied.
    version: Option<u64>,
    /// Another certificate than this one is in use.
    serial_not: Option<String>,
    /// The proxy serves.
    ready: bool,
}

impl Wanted {
    fn nothing(&self) -> bool {
        self.version.is_none() && self.serial_not.is_none() && !self.ready
    }

    fn met(&self, proxy: &Proxy) -> bool {
        let applied = proxy.applied.borrow().version;
        let fresh = self
            .version
            .is_none_or(|wanted| applied.is_some_and(|has| has >= wanted));
        let renewed = self.serial_not.as_ref().is_none_or(|old| {
            let tls = proxy.tls.load();
            tls.as_ref().is_some_and(|tls| tls.facts.serial != *old)
        });
        fresh && renewed && (!self.ready || proxy.not_ready().is_empty())
    }
}

async fn wait(proxy: &Proxy, wanted: &Wanted, limit: Duration) -> Response<Body> {
    let mut applied = proxy.applied.subscribe();
    let reached = async {
        loop {
            drop(applied.borrow_and_update());
            if wanted.met(proxy) {
                return true;
            }
            if applied.changed().await.is_err() {
                return false;
            }
        }
    };
    let done = matches!(tokio::time::timeout(limit, reached).await, Ok(true));
    let now = proxy.applied.borrow().version;
    let status = if done {
        StatusCode::OK
    } else {
        StatusCode::GATEWAY_TIMEOUT
    };
    respond(status, &json!({"version": now}))
}

async fn tunnel(
    proxy: &Proxy,
    port: Option<u16>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let Some(port) = port.filter(|port| *port > 0) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "port: a number from 1 to 65535 is needed",
        );
    };
    if proxy.boot.role != Role::Sidecar {
        return refuse(
            StatusCode::NOT_FOUND,
            "only a sidecar has an application behind it",
        );
    }
    if !headers::is_upgrade(request.headers()) {
        return refuse(StatusCode::UPGRADE_REQUIRED, "Upgrade: tcp is needed");
    }
    let mut app = match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(app) => app,
        Err(error) => {
            return refuse(
                StatusCode::BAD_GATEWAY,
                &format!("127.0.0.1:{port}: {error}"),
            );
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    proxy.tasks.spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let mut client = TokioIo::new(upgraded);
            // Either side may break off; both are closed then.
            let _ =
                copy_bidirectional_with_sizes(&mut client, &mut app, TUNNEL_BUFFER, TUNNEL_BUFFER)
                    .await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    response
}
