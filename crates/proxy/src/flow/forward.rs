//! Sends a request to a cluster: attempts, deadlines, hedges and copies.
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cloudwright_config::{
    Forward as Config,
    policy::{Hedge, Retry, RetryOn},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{Response, StatusCode, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{
    attempt::{self, Failed, Failure, Hold},
    body::Body,
    replay::Replay,
};
use crate::{
    headers::UNPROCESSED,
    plane::shared::{Shared, bump},
    respond::Refusal,
    retry::is_idempotent,
    routing::rule::Forward,
    upstream::{Cluster, Endpoint, cluster::Settings, outlier::Answer},
};

/// Attempts after the first for a request that nobody saw, whatever the rule says.
const UNSEEN_ATTEMPTS: u32 = 2;

/// A request ready to go.
pub struct Outgoing<'a> {
    pub shared: &'a Arc<Shared>,
    pub cluster: &'a Arc<Cluster>,
    pub config: &'a Config,
    pub hash: Option<u64>,
    /// Body bytes kept for another attempt.
    pub replay_bytes: usize,
}

/// An answer with what it holds.
pub struct Answered {
    pub response: Response<Body>,
    pub hold: Hold,
    pub endpoint: Arc<Endpoint>,
    pub retries: u32,
}

/// A refusal with what was tried.
pub struct Refused {
    pub refusal: Box<Refusal>,
    pub endpoint: Option<Arc<Endpoint>>,
    pub retries: u32,
}

fn refused(status: StatusCode, reason: &'static str, message: String) -> Refused {
    Refused {
        refusal: Box::new(Refusal::new(status, reason, message)),
        endpoint: None,
        retries: 0,
    }
}

/// The deadline that a gRPC client gives (`grpc-timeout`: up to 8 digits and a unit).
#[must_use]
pub fn grpc_timeout(parts: &Parts) -> Option<Duration> {
    let text = parts.headers.get("grpc-timeout")?.to_str().ok()?;
    let unit = text.get(text.len().checked_sub(1)?..)?;
    let digits = text.get(..text.len() - 1)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

impl Outgoing<'_> {
    /// Sends the request within its deadline.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, parts: Parts, body: Body) -> Result<Answered, Refused> {
        let client = grpc_timeout(&parts);
        let route = self.config.timeout.filter(|limit| !limit.is_zero());
        let limit = match (route, client) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let work = self.begin(parts, body);
        let Some(limit) = limit else {
            return work.await;
        };
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let name = &self.cluster.name;
            let text = format!("{name} did not answer within {} ms", limit.as_millis());
            Err(refused(StatusCode::GATEWAY_TIMEOUT, "timeout", text))
        })
    }

    async fn begin(&self, parts: Parts, body: Body) -> Result<Answered, Refused> {
        let settings = self.cluster.settings().clone();
        let Some(settings) = settings else {
            let text = format!("the cluster {} does not exist", self.cluster.name);
            return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "no_cluster", text));
        };
        let most = settings.config.circuit_breaker.max_requests;
        if self.cluster.load.requests.load(Ordering::Relaxed) >= most {
            bump(&self.shared.counters.overloaded);
            let text = format!("{} has {most} requests already", self.cluster.name);
            return Err(refused(StatusCode::SERVICE_UNAVAILABLE, "overflow", text));
        }
        if let Err(wait) = self.cluster.admit(&settings, self.shared.state.now_ns()) {
            bump(&self.shared.counters.overloaded);
            let text = format!("{} takes no more requests now", self.cluster.name);
            let mut refused = refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text);
            refused.refusal.retry_after = Some(Duration::from_nanos(wait));
            return Err(refused);
        }
        match &self.config.hedge {
            Some(hedge) if body.is_end_stream() => self.hedged(&settings, hedge, &parts).await,
            _ => self.attempts(&settings, parts, body).await,
        }
    }

    fn pick(&self, tried: &[Arc<Endpoint>]) -> Result<Arc<Endpoint>, Refused> {
        let now = self.shared.state.now_ms();
        let found = self.cluster.pick(tried, self.hash, now);
        found.ok_or_else(|| self.gone())
    }

    async fn attempts(
        &self,
        settings: &Settings,
        parts: Parts,
        body: Body,
    ) -> Result<Answered, Refused> {
        let (again, mut request) =
            Again::new(self.config.retry.as_ref(), parts, body, self.replay_bytes);
        let method = request.0.method.clone();
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut retries = 0;
        // Counted until the answer's head is there: that is what the budget is of.
        let mut _room = None;
        loop {
            let endpoint = self.pick(&tried)?;
            let outcome = self.attempt(&endpoint, settings, request, again.rule).await;
            let wanted = retries < again.most
                && match &outcome {
                    Ok((response, _)) => again.repeats(response, &method),
                    Err(failure) => may(failure.failed, again.rule, &method),
                };
            let room = wanted
                .then(|| self.cluster.load.retry(&settings.config.circuit_breaker))
                .flatten();
            let (next, refusal) = match outcome {
                Ok((response, hold)) => {
                    let next = room.is_some().then(|| again.request(None)).flatten();
                    if next.is_none() {
                        return Ok(Answered {
                            response,
                            hold,
                            endpoint,
                            retries,
                        });
                    }
                    self.note(&endpoint, Answer::of_status(response.status().as_u16()));
                    (next, None)
                }
                Err(mut failure) => {
                    if !matches!(failure.failed, Failed::Client(_)) {
                        self.note(&endpoint, Answer::Gateway);
                    }
                    let returned = failure.request.take();
                    let next = room.is_some().then(|| again.request(returned)).flatten();
                    (next, Some(self.refusal(&failure, &endpoint, retries)))
                }
            };
            request = match (next, refusal) {
                (Some(next), _) => next,
                (None, Some(refusal)) => return Err(refusal),
                (None, None) => return Err(self.gone()),
            };
            _room = room;
            retries += 1;
            bump(&self.shared.counters.retries);
            let alone = tried.iter().any(|one| Arc::ptr_eq(one, &endpoint));
            tried.push(endpoint);
            if alone || self.cluster.counts().0 <= tried.len() {
                // Nowhere else to go: give it a moment.
                tokio::time::sleep(pause(again.rule, retries)).await;
            }
        }
    }

    fn note(&self, endpoint: &Endpoint, answer: Answer) {
        self.cluster
            .answered(endpoint, answer, self.shared.state.now_ms());
    }

    fn gone(&self) -> Refused {
        let text = format!("{} has no endpoint", self.cluster.name);
        refused(StatusCode::SERVICE_UNAVAILABLE, "no_endpoint", text)
    }

    async fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        settings: &Settings,
        request: Box<(Parts, Body)>,
        retry: Option<&Retry>,
    ) -> Result<(Response<Body>, Hold), Failure> {
        let (parts, body) = *request;
        let work = attempt::send(self.cluster, endpoint, settings, parts, body);
        match retry.and_then(|retry| retry.per_try_timeout) {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
                Err(Failure {
                    failed: Failed::Reset,
                    message: format!("no answer within {} ms", limit.as_millis()),
                    request: None,
                })
            }),
        }
    }

    fn refusal(&self, failure: &Failure, endpoint: &Arc<Endpoint>, retries: u32) -> Refused {
        let name = &self.cluster.name;
        let (status, reason, what) = match failure.failed {
            Failed::Client(status) => (status, "bad_request", "was sent a body that is broken"),
            Failed::Unprocessed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no_endpoint",
                "cannot be reached",
            ),
            Failed::Reset => (
                StatusCode::BAD_GATEWAY,
                "reset",
                "broke off before it answered",
            ),
        };
        let text = format!("{name} {what}: {}", failure.message);
        Refused {
            endpoint: Some(Arc::clone(endpoint)),
            retries,
            ..refused(status, reason, text)
        }
    }

    /// Further attempts beside the first when it takes long; the first good answer counts.
    async fn hedged(
        &self,
        settings: &Settings,
        hedge: &Hedge,
        parts: &Parts,
    ) -> Result<Answered, Refused> {
        type Try<'f> = Pin<Box<dyn Future<Output = Result<Answered, Refused>> + Send + 'f>>;
        let one = |endpoint: Arc<Endpoint>, number: u32| -> Try<'_> {
            let request = Box::new((parts.clone(), Body::empty()));
            Box::pin(async move {
                match self.attempt(&endpoint, settings, request, None).await {
                    Ok((response, hold)) => Ok(Answered {
                        response,
                        hold,
                        endpoint,
                        retries: number,
                    }),
                    Err(failure) => {
                        self.note(&endpoint, Answer::Gateway);
                        Err(self.refusal(&failure, &endpoint, number))
                    }
                }
            })
        };
        let mut tried = vec![self.pick(&[])?];
        let mut running = FuturesUnordered::new();
        running.extend(tried.first().map(|first| one(Arc::clone(first), 0)));
        let mut last = None;
        loop {
            let room = tried.len() < usize::try_from(hedge.attempts).unwrap_or(usize::MAX);
            tokio::select! {
                Some(outcome) = running.next() => match outcome {
                    Ok(answer) if !answer.response.status().is_server_error() => return Ok(answer),
                    other => last = Some(other),
                },
                () = tokio::time::sleep(hedge.delay), if room => {}
                else => break,
            }
            if room {
                let endpoint = self.pick(&tried)?;
                bump(&self.shared.counters.hedges);
                tried.push(Arc::clone(&endpoint));
                running.push(one(
                    endpoint,
                    u32::try_from(tried.len()).unwrap_or(u32::MAX) - 1,
                ));
            } else if running.is_empty() {
                break;
            }
        }
        last.unwrap_or_else(|| Err(self.gone()))
    }
}

/// What another attempt of one request needs.
struct Again<'a> {
    rule: Option<&'a Retry>,
    /// Attempts after the first.
    most: u32,
    /// The head, and the body where there is one: kept only for a rule that repeats what an
    /// endpoint may have seen. What nobody saw comes back from the attempt itself.
    kept: Option<(Parts, Option<Replay>)>,
}

impl<'a> Again<'a> {
    fn new(
        rule: Option<&'a Retry>,
        parts: Parts,
        body: Body,
        limit: usize,
    ) -> (Self, Box<(Parts, Body)>) {
        let seen = |on: &RetryOn| *on != RetryOn::ConnectFailure;
        let keeps = rule.is_some_and(|rule| rule.on.iter().any(seen));
        let replay = (keeps && !body.is_end_stream()).then_some(());
        let (replay, body) = match replay {
            Some(()) => {
                let replay = Replay::new(body, limit);
                let first = replay.attempt();
                (Some(replay), first)
            }
            None => (None, body),
        };
        let again = Self {
            rule,
            most: rule.map_or(UNSEEN_ATTEMPTS, |rule| rule.attempts),
            kept: keeps.then(|| (parts.clone(), replay)),
        };
        (again, Box::new((parts, body)))
    }

    /// The request for another attempt; `returned` is that of the last one, where it was not used.
    fn request(&self, returned: Option<Box<(Parts, Body)>>) -> Option<Box<(Parts, Body)>> {
        match &self.kept {
            Some((parts, Some(replay))) => replay
                .can_repeat()
                .then(|| Box::new((parts.clone(), replay.attempt()))),
            Some((parts, None)) => {
                Some(returned.unwrap_or_else(|| Box::new((parts.clone(), Body::empty()))))
            }
            None => returned,
        }
    }

    /// Whether an answer is one that is repeated: by the rule, or because the application behind a
    /// sidecar did not see the request.
    fn repeats(&self, response: &Response<Body>, method: &http::Method) -> bool {
        self.rule
            .is_some_and(|rule| repeats(rule, response, method))
            || response.headers().contains_key(UNPROCESSED)
    }
}

/// Whether a failed attempt may be repeated.
fn may(failed: Failed, retry: Option<&Retry>, method: &http::Method) -> bool {
    match failed {
        Failed::Unprocessed => true,
        Failed::Client(_) => false,
        Failed::Reset => retry.is_some_and(|retry| {
            let wanted = |on: &RetryOn| matches!(on, RetryOn::Reset | RetryOn::ServerError);
            retry.on.iter().any(wanted) && (retry.non_idempotent || is_idempotent(method))
        }),
    }
}

/// Whether an answer is one that the rule repeats.
fn repeats(retry: &Retry, response: &Response<Body>, method: &http::Method) -> bool {
    let status = response.status().as_u16();
    let grpc = response
        .headers()
        .get("grpc-status")
        .and_then(|code| code.to_str().ok());
    let seen = retry.on.iter().any(|on| match on {
        RetryOn::Unavailable => status == 503,
        RetryOn::GatewayError => (502..=504).contains(&status),
        RetryOn::ServerError => status >= 500,
        RetryOn::Conflict => status == 409,
        RetryOn::Statuses => retry.statuses.contains(&status),
        RetryOn::GrpcCancelled => grpc == Some("1"),
        RetryOn::GrpcDeadlineExceeded => grpc == Some("4"),
        RetryOn::GrpcResourceExhausted => grpc == Some("8"),
        RetryOn::GrpcInternal => grpc == Some("13"),
        RetryOn::GrpcUnavailable => grpc == Some("14"),
        RetryOn::ConnectFailure | RetryOn::Reset => false,
    });
    // gRPC calls are POSTs; that a rule names gRPC statuses says that repeating is meant.
    seen && (grpc.is_some() || retry.non_idempotent || is_idempotent(method))
}

fn pause(retry: Option<&Retry>, retries: u32) -> Duration {
    let (first, most) = retry.map_or(
        (Duration::from_millis(25), Duration::from_millis(250)),
        |retry| (retry.backoff, retry.max_backoff),
    );
    let whole = first
        .saturating_mul(1 << retries.saturating_sub(1).min(16))
        .min(most);
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Sends copies of a request, which must have no body; nobody waits for their answers.
pub fn mirror(shared: &Arc<Shared>, forward: &Forward, parts: &Parts, replay_bytes: usize) {
    for (percent, cluster) in &forward.mirrors {
        if fastrand::f64() * 100.0 >= *percent {
            continue;
        }
        bump(&shared.counters.mirrored);
        let (shared, cluster, parts) = (Arc::clone(shared), Arc::clone(cluster), parts.clone());
        tokio::spawn(async move {
            let config = Config {
                timeout: Some(Duration::from_secs(15)),
                ..Config::default()
            };
            let outgoing = Outgoing {
                shared: &shared,
                cluster: &cluster,
                config: &config,
                hash: None,
                replay_bytes,
            };
            if let Ok(answer) = outgoing.send(parts, Body::empty()).await {
                // Read to its end, so that the connection can be used again.
                let mut body = answer.response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_grpc() {
        let limit = |text: &str| {
            let request = http::Request::builder()
                .header("grpc-timeout", text)
                .body(())
                .unwrap();
            grpc_timeout(&request.into_parts().0)
        };
        assert_eq!(limit("100m"), Some(Duration::from_millis(100)));
        assert_eq!(limit("2S"), Some(Duration::from_secs(2)));
        assert_eq!(
            limit("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3_600))
        );
        for bad in ["", "S", "5", "-1S", "123456789S", "1x"] {
            assert_eq!(limit(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_may_have_been_seen_is_repeated_only_when_told_so() {
        let rule = |on: Vec<RetryOn>, non_idempotent| Retry {
            attempts: 1,
            on,
            statuses: Vec::new(),
            per_try_timeout: None,
            backoff: Duration::ZERO,
            max_backoff: Duration::ZERO,
            non_idempotent,
        };
        let reset = rule(vec![RetryOn::Reset], false);
        assert!(may(Failed::Unprocessed, None, &http::Method::POST));
        assert!(!may(Failed::Reset, None, &http::Method::GET));
        assert!(may(Failed::Reset, Some(&reset), &http::Method::GET));
        assert!(!may(Failed::Reset, Some(&reset), &http::Method::POST));
        assert!(may(
            Failed::Reset,
            Some(&rule(vec![RetryOn::Reset], true)),
            &http::Method::POST
        ));
    }
}
