//! Sends a request to an endpoint of the mesh, and to another one when that is safe.
use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use http::{Request, Response, StatusCode, Version, request::Parts};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    body::{Body, Replay},
    endpoint::Lease,
    headers::UNPROCESSED,
    proxy::Proxy,
    record::Record,
    respond::Refusal,
    retry::{Failed, classify, may_retry},
    table::{Cluster, Policy},
};

/// A request ready to go: head with the upstream's URI, body that can be read again.
pub struct Outgoing<'a> {
    pub cluster: &'a Cluster,
    pub policy: &'a Policy,
    pub parts: Parts,
    pub body: Replay,
}

enum Outcome {
    Answer(Response<Incoming>, Lease),
    Failed(Failed, String),
}

fn unavailable(reason: &'static str, message: String) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason, message)
}

/// Sends the request within its deadline; the lease is held until the answer's body ends.
pub async fn forward(
    proxy: &Arc<Proxy>,
    outgoing: Outgoing<'_>,
    record: &mut Record,
) -> Result<(Response<Incoming>, Lease), Refusal> {
    let label = Arc::clone(&outgoing.cluster.label);
    let Some(limit) = outgoing.policy.timeout else {
        return attempts(proxy, outgoing, record).await;
    };
    match tokio::time::timeout_at(Instant::now() + limit, attempts(proxy, outgoing, record)).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            format!("{label} did not answer within {} ms", limit.as_millis()),
        )),
    }
}

async fn attempts(
    proxy: &Arc<Proxy>,
    outgoing: Outgoing<'_>,
    record: &mut Record,
) -> Result<(Response<Incoming>, Lease), Refusal> {
    let Outgoing {
        cluster,
        policy,
        mut parts,
        body,
    } = outgoing;
    parts.version = Version::HTTP_2;
    let mut tried = Vec::new();
    let relief = cluster.relief();
    let mut cluster = cluster;
    loop {
        let Some((index, endpoint)) = cluster.pick(&tried, policy.balancer, proxy.now_ms()) else {
            let message = format!("no healthy endpoint of {}", cluster.label);
            return Err(unavailable("no_endpoint", message));
        };
        record.upstream = endpoint.address.to_string();
        let again = tried.contains(&index);
        let outcome = match endpoint.lease(proxy).await {
            Ok(lease) => attempt(lease, &parts, &body, policy).await,
            Err(error) => Outcome::Failed(Failed::Unprocessed, error.to_string()),
        };
        let left = record.retries < policy.attempts && body.can_repeat();
        let (failed, message, answer) = match outcome {
            Outcome::Answer(response, lease) => match unserved(&response) {
                Some(failed) if left => (failed, String::new(), Some((response, lease))),
                _ => return Ok((response, lease)),
            },
            Outcome::Failed(failed, message) => (failed, message, None),
        };
        if !(left && may_retry(failed, &parts.method, policy)) {
            return answer.ok_or_else(|| refusal(cluster, failed, &message));
        }
        drop(answer);
        tried.push(index);
        record.retries += 1;
        proxy.metrics.retries.fetch_add(1, Ordering::Relaxed);
        if let Some(other) = relief.as_deref()
            && tried.len() >= cluster.endpoints.len()
            && !std::ptr::eq(cluster, other)
        {
            // A canary that fails takes no request with it.
            cluster = other;
            tried.clear();
            continue;
        }
        if again || cluster.endpoints.len() == 1 {
            // Nowhere else to go: give the endpoint a moment.
            let pause = 10 << record.retries.min(5);
            tokio::time::sleep(Duration::from_millis(pause + fastrand::u64(..pause))).await;
        }
    }
}

/// A 503 that may be tried elsewhere: from a sidecar whose application did not see the request.
fn unserved(response: &Response<Incoming>) -> Option<Failed> {
    if response.status() != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let unseen = response.headers().contains_key(&UNPROCESSED);
    Some(if unseen {
        Failed::Unprocessed
    } else {
        Failed::Unavailable
    })
}

async fn attempt(mut lease: Lease, parts: &Parts, body: &Replay, policy: &Policy) -> Outcome {
    let request: Request<Body> = Request::from_parts(parts.clone(), body.attempt());
    let sending = lease.sender.try_send_request(request);
    let result = match policy.per_try {
        None => sending.await,
        Some(limit) => match tokio::time::timeout(limit, sending).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no answer within {} ms", limit.as_millis());
                return Outcome::Failed(Failed::TryTimeout, message);
            }
        },
    };
    match result {
        Ok(response) => Outcome::Answer(response, lease),
        Err(mut error) => {
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            Outcome::Failed(classify(&error, unsent), describe(&error))
        }
    }
}

/// An error with its causes in one line.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn refusal(cluster: &Cluster, failed: Failed, message: &str) -> Refusal {
    let text = format!("no healthy endpoint of {}: {message}", cluster.label);
    match failed {
        Failed::Unprocessed | Failed::Unavailable => unavailable("no_endpoint", text),
        Failed::Reset => Refusal::new(
            StatusCode::BAD_GATEWAY,
            "reset",
            format!("{} broke off before it answered: {message}", cluster.label),
        ),
        Failed::TryTimeout => Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            format!("{} did not answer: {message}", cluster.label),
        ),
    }
}
