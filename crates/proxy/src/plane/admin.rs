//! The admin socket of a proxy that runs from a configuration: what is in force, how it goes, drain.
use std::{
    fmt::Write,
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use cloudwright_http1 as http1;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::shared::Shared;
use crate::{
    drain::Phase,
    flow::body::Body,
    gateway::bind_unix,
    io::Io,
    upstream::{Cluster, Endpoint, endpoint::Reason},
};

/// Opens the socket, for its owner only.
///
/// # Errors
/// Why it cannot be opened.
pub fn open(path: &Path) -> Result<UnixListener, String> {
    bind_unix(path)
}

/// Serves the socket for ever.
pub async fn serve(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let limits = Arc::new(http1::Limits::default());
            let mut conn = http1::server::Connection::new(Io::Unix(stream), limits);
            while let Some(accepted) = conn.accept().await {
                let Ok(request) = accepted else {
                    continue;
                };
                let (parts, _) = request.into_parts();
                let response = answer(&shared, &parts).await;
                if conn.respond(response).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn respond(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(status: StatusCode, value: &Value) -> Response<Body> {
    respond(status, "application/json", format!("{value}\n"))
}

async fn answer(shared: &Arc<Shared>, request: &Parts) -> Response<Body> {
    match (&request.method, request.uri.path()) {
        (&Method::GET, "/ready") => ready(shared),
        (&Method::GET, "/config") => json(StatusCode::OK, &config(shared)),
        (&Method::GET, "/clusters") => json(StatusCode::OK, &clusters(shared)),
        (&Method::GET, "/metrics") => {
            respond(StatusCode::OK, "text/plain; version=0.0.4", metrics(shared))
        }
        (&Method::POST, "/drain") => {
            shared.drain.advance(Phase::Draining);
            let idle = shared.drain.wait_idle(timeout(request)).await;
            json(
                StatusCode::OK,
                &json!({"idle": idle, "active": shared.drain.active()}),
            )
        }
        (_, path) => {
            let text = format!(
                "no {path} here: GET /ready, /config, /clusters, /metrics; POST /drain?timeout_ms="
            );
            json(StatusCode::NOT_FOUND, &json!({"message": text}))
        }
    }
}

fn timeout(request: &Parts) -> Duration {
    let query = request.uri.query().unwrap_or_default();
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout_ms="));
    Duration::from_millis(value.and_then(|text| text.parse().ok()).unwrap_or(30_000))
}

fn ready(shared: &Shared) -> Response<Body> {
    if shared.drain.phase() != Phase::Serving {
        return json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"reasons": ["draining"]}),
        );
    }
    if shared.counters.config_applied.load(Relaxed) == 0 {
        let reasons = json!({"reasons": ["nothing came from the control plane yet"]});
        return json(StatusCode::SERVICE_UNAVAILABLE, &reasons);
    }
    json(StatusCode::OK, &json!({"ready": true}))
}

fn config(shared: &Shared) -> Value {
    let resources = shared.state.resources();
    json!({
        "listeners": resources.listeners,
        "routes": resources.routes,
        "clusters": resources.clusters,
        "assignments": resources.assignments,
        "secrets": resources.secrets,
        "control": shared.control.get().map(|handle| json!(handle.status())),
    })
}

fn endpoint(one: &Endpoint) -> Value {
    let reasons = [
        (Reason::Discovery, "discovery"),
        (Reason::Check, "health check"),
        (Reason::Ejected, "ejected"),
    ];
    let unwell: Vec<&str> = reasons
        .into_iter()
        .filter(|(reason, _)| one.is_marked(*reason))
        .map(|(_, text)| text)
        .collect();
    let (http1, http2) = one.pool.counts();
    json!({
        "address": one.address,
        "weight": one.weight(),
        "priority": one.priority,
        "identity": one.identity,
        "well": one.well(),
        "unwell": unwell,
        "ejections": one.ejections(),
        "active": one.active(),
        "connections": {"http1_idle": http1, "http2": http2},
    })
}

fn clusters(shared: &Shared) -> Value {
    let mut all = shared.state.clusters();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    let one = |cluster: &Arc<Cluster>| {
        let endpoints: Vec<Value> = cluster
            .endpoints()
            .iter()
            .map(|one| endpoint(one))
            .collect();
        json!({
            "name": cluster.name,
            "requests": cluster.load.requests.load(Relaxed),
            "retries": cluster.load.retries.load(Relaxed),
            "endpoints": endpoints,
        })
    };
    Value::Array(all.iter().map(one).collect())
}

fn metrics(shared: &Shared) -> String {
    let mut out = String::new();
    shared.state.render(&mut out);
    let counters = &shared.counters;
    let load = |value: &std::sync::atomic::AtomicU64| value.load(Relaxed);
    let listeners = shared.state.listeners().len() as u64;
    for (name, kind, value) in [
        ("connections_total", "counter", load(&counters.connections)),
        (
            "connections_open",
            "gauge",
            load(&counters.connections_open),
        ),
        (
            "handshakes_rejected_total",
            "counter",
            load(&counters.handshakes_refused),
        ),
        ("retries_total", "counter", load(&counters.retries)),
        ("hedges_total", "counter", load(&counters.hedges)),
        ("mirrored_total", "counter", load(&counters.mirrored)),
        ("overflows_total", "counter", load(&counters.overloaded)),
        (
            "config_applied_total",
            "counter",
            load(&counters.config_applied),
        ),
        (
            "config_rejected_total",
            "counter",
            load(&counters.config_refused),
        ),
        (
            "access_log_dropped_total",
            "counter",
            shared.log.dropped.load(Relaxed),
        ),
        ("requests_active", "gauge", shared.drain.active() as u64),
        ("listeners", "gauge", listeners),
    ] {
        let _ = writeln!(out, "# TYPE cloudwright_proxy_{name} {kind}");
        let _ = writeln!(out, "cloudwright_proxy_{name} {value}");
    }
    if let Some(filters) = shared.filters.get() {
        filters.write_metrics(&mut out);
    }
    let faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(out, "# TYPE cloudwright_proxy_malformed_total counter");
    for (reason, count) in faults.iter() {
        let _ = writeln!(
            out,
            "cloudwright_proxy_malformed_total{{reason=\"{reason}\"}} {count}"
        );
    }
    let _ = writeln!(out, "# TYPE cloudwright_proxy_unrouted_total counter");
    for class in 0..6 {
        let count = shared.unrouted.class(class);
        if count > 0 {
            let _ = writeln!(
                out,
                "cloudwright_proxy_unrouted_total{{code=\"{class}xx\"}} {count}"
            );
        }
    }
    let _ = writeln!(out, "# TYPE cloudwright_proxy_cluster_endpoints gauge");
    for cluster in shared.state.clusters() {
        let (total, well) = cluster.counts();
        for (state, count) in [("well", well), ("unwell", total - well.min(total))] {
            let _ = writeln!(
                out,
                "cloudwright_proxy_cluster_endpoints{{cluster=\"{}\",state=\"{state}\"}} {count}",
                cluster.name
            );
        }
    }
    out
}
