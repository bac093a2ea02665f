//! The rule that a request meets, and what it makes of the request.
use std::{net::SocketAddr, sync::Arc, time::Instant};

use cloudwright_config::{
    Action,
    policy::Fault,
    route::{Redirect, Respond},
};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    request::Parts, uri::Authority, uri::PathAndQuery, uri::Scheme,
};

use http_body::Body as _;

use super::{
    affinity::hash_key,
    body::Body,
    filtering,
    finish::{Facts, Finish},
    forward::{Answered, Outgoing, Refused, mirror},
};
use crate::{
    drain::Active,
    headers,
    plane::{served::Served, shared::Shared},
    respond::Refusal,
    router::has_dot_segment,
    routing::{
        edits,
        guarding::{self, Passed},
        rule::{Forward, Rule},
        table::Host,
    },
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who sends requests on a connection.
pub struct Client {
    pub shared: Arc<Shared>,
    pub served: Arc<Served>,
    pub peer: Option<SocketAddr>,
    /// The peer's address as a header value.
    pub peer_text: Option<HeaderValue>,
    pub secure: bool,
    /// Names in the client's verified certificate.
    pub identity: Option<Arc<str>>,
}

impl Client {
    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

struct Work {
    facts: Facts,
    active: Active,
    grpc: bool,
}

fn authority(parts: &Parts) -> &str {
    match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts
            .headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default(),
    }
}

/// Answers one request.
pub async fn answer(client: &Client, request: Request<Body>) -> Response<Body> {
    match client.served.grpc.load_full() {
        // Apart and on the heap: what few listeners offer must not make every request's state big.
        Some(grpc) => Box::pin(async move { grpc.answer(client, request).await }).await,
        None => routed(client, request).await,
    }
}

/// Answers one request by the rule that it meets.
pub async fn routed(client: &Client, request: Request<Body>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let mut work = Work {
        facts: Facts {
            started: Instant::now(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            host: parts.headers.get(header::HOST).cloned(),
            request_id: None,
            rule: None,
            cluster: None,
            endpoint: None,
            identity: client.identity.clone(),
            judged_at_end: false,
            status: 0,
            retries: 0,
            flags: "",
        },
        active: client.shared.drain.enter(),
        grpc: headers::is_grpc(&parts.headers),
    };
    let (host, rule) = match route(client, &parts) {
        Ok(found) => found,
        Err(refusal) => return work.refuse(client, &refusal),
    };
    work.facts.rule = Some(Arc::clone(&rule));
    let mut passed = Passed::default();
    if host.guard.is_some() || rule.guard.is_some() {
        let guards = (host.guard.as_ref(), rule.guard.as_ref());
        match guarding::ask(client, guards.0, guards.1, &rule.label, &mut parts).await {
            Ok(found) => passed = found,
            Err(refusal) => return work.guarded(client, &refusal, &parts),
        }
    }
    let chain = filtering::chain(&client.shared, &parts);
    let mut body = body;
    if let Some(chain) = &chain {
        let message = Request::from_parts(parts, body);
        match filtering::request(client, chain, &rule.label, message).await {
            Ok(message) => (parts, body) = message.into_parts(),
            Err(answer) => {
                work.facts.flags = "filter";
                return work.finish(client, answer, None);
            }
        }
    }
    host.request_edits.apply(&mut parts.headers);
    rule.request_edits.apply(&mut parts.headers);
    if let Some(fault) = &rule.config.fault
        && let Some(refusal) = inject(fault).await
    {
        return work.refuse(client, &refusal);
    }
    let mut response = match &rule.config.action {
        Action::Respond(respond) => work.respond(client, respond),
        Action::Redirect(redirect) => work.redirect(client, redirect, &parts),
        Action::Forward(_) => forward(client, work, &rule, parts, body).await,
    };
    if let Some(chain) = &chain {
        response = filtering::response(chain, response).await;
    }
    passed.annotate(response.headers_mut());
    if !rule.response_edits.is_empty() {
        rule.response_edits.apply(response.headers_mut());
    }
    if !host.response_edits.is_empty() {
        host.response_edits.apply(response.headers_mut());
    }
    response
}

fn route(client: &Client, parts: &Parts) -> Result<(Arc<Host>, Arc<Rule>), Refusal> {
    if parts.method == Method::CONNECT {
        let text = "this gateway is not a forward proxy";
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "connect",
            text,
        ));
    }
    if let Err(wait) = client.served.admit(client.shared.state.now_ns()) {
        let text = "this listener takes no more requests now";
        let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text);
        refusal.retry_after = Some(std::time::Duration::from_nanos(wait));
        return Err(refusal);
    }
    let strict = client.served.config.load().limits.refuse_escaped_slashes;
    if strict && has_escaped_slash(parts.uri.path()) {
        let text = "the path has escaped slashes";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_path", text));
    }
    if has_dot_segment(parts.uri.path()) {
        let text = "the path has . or .. segments";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_path", text));
    }
    let table = client.served.table.load();
    match table.find(authority(parts), parts, fastrand::u64(..)) {
        Some((host, rule)) => Ok((Arc::clone(host), Arc::clone(rule))),
        None => {
            let text = "no route matches this host and path";
            Err(Refusal::new(StatusCode::NOT_FOUND, "no_route", text))
        }
    }
}

/// `%2F` or `%5C`, which an application may take for a slash.
fn has_escaped_slash(path: &str) -> bool {
    path.as_bytes().windows(3).any(|three| {
        three.first() == Some(&b'%')
            && matches!(
                three.get(1..),
                Some([b'2', b'f' | b'F'] | [b'5', b'c' | b'C'])
            )
    })
}

async fn inject(fault: &Fault) -> Option<Refusal> {
    let hit = |percent: f64| fastrand::f64() * 100.0 < percent;
    if let Some(delay) = fault.delay
        && hit(fault.delay_percent)
    {
        tokio::time::sleep(delay).await;
    }
    let status = fault.abort_status.filter(|_| hit(fault.abort_percent))?;
    let status = StatusCode::from_u16(status).ok()?;
    Some(Refusal::new(status, "fault", "this route fails on purpose"))
}

async fn forward(
    client: &Client,
    mut work: Work,
    rule: &Arc<Rule>,
    mut parts: Parts,
    body: Body,
) -> Response<Body> {
    let Action::Forward(config) = &rule.config.action else {
        return work.respond(client, &nothing());
    };
    let chosen = rule
        .forward
        .as_ref()
        .and_then(|it| it.choose(fastrand::u64(..)));
    let Some(cluster) = chosen else {
        let text = "every target of this route has weight 0";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_cluster", text);
        return work.refuse(client, &refusal);
    };
    work.facts.cluster = Some(Arc::clone(cluster));
    let (hash, cookie) = hash_key(client, &config.hash, &parts);
    if let Err(refusal) = prepare(client, rule, &mut parts) {
        return work.refuse(client, &refusal);
    }
    work.facts.request_id = Some(headers::ensure_request_id(&mut parts.headers));
    if !config.upgrades {
        parts.headers.remove(header::UPGRADE);
    }
    let replay_bytes = usize::try_from(client.served.config.load().limits.replay_bytes);
    let replay_bytes = replay_bytes.unwrap_or(0);
    let copied = |it: &&Forward| !it.mirrors.is_empty() && body.is_end_stream();
    if let Some(forward) = rule.forward.as_ref().filter(copied) {
        mirror(&client.shared, forward, &parts, replay_bytes);
    }
    let outgoing = Outgoing {
        shared: &client.shared,
        cluster,
        config,
        hash,
        replay_bytes,
    };
    match outgoing.send(parts, body).await {
        Ok(answered) => work.answered(client, answered, cookie),
        Err(Refused {
            refusal,
            endpoint,
            retries,
        }) => {
            work.facts.endpoint = endpoint;
            work.facts.retries = retries;
            work.refuse(client, &refusal)
        }
    }
}

fn nothing() -> Respond {
    Respond {
        status: 404,
        body: "".into(),
        content_type: None,
    }
}

/// Target and forwarding fields as the endpoint is to see them.
fn prepare(client: &Client, rule: &Rule, parts: &mut Parts) -> Result<(), Refusal> {
    let Action::Forward(config) = &rule.config.action else {
        return Ok(());
    };
    let rewritten = edits::path(&config.rewrite, &rule.config.matches.path, parts.uri.path());
    if let Some(path) = rewritten {
        parts.uri = edits::with_path(&parts.uri, &path);
    }
    if let Some(host) = &config.rewrite.host {
        set_host(parts, host)?;
    } else if parts.uri.authority().is_none() {
        address(parts)?;
    }
    if client.identity.is_none() {
        headers::remove_mesh(&mut parts.headers);
    }
    if let Some(peer) = &client.peer_text {
        let before = parts
            .headers
            .get(&FORWARDED_FOR)
            .and_then(|value| value.to_str().ok());
        let value = match (before, peer.to_str()) {
            (Some(before), Ok(peer)) => HeaderValue::from_str(&format!("{before}, {peer}")).ok(),
            _ => None,
        };
        parts
            .headers
            .insert(FORWARDED_FOR, value.unwrap_or_else(|| peer.clone()));
    }
    let scheme = HeaderValue::from_static(client.scheme());
    parts.headers.insert(FORWARDED_PROTO, scheme);
    Ok(())
}

fn bad(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", text)
}

fn rebuilt(parts: &Parts, authority: Authority) -> Result<Uri, Refusal> {
    let path = parts.uri.path_and_query().cloned();
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    uri.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(uri).map_err(|_| bad("the request has no valid path"))
}

fn set_host(parts: &mut Parts, host: &str) -> Result<(), Refusal> {
    let name: Authority = host
        .parse()
        .map_err(|_| bad("the rewritten host is none"))?;
    if let Ok(value) = HeaderValue::from_str(host) {
        parts.headers.insert(header::HOST, value);
    }
    parts.uri = rebuilt(parts, name)?;
    Ok(())
}

/// HTTP/2 wants scheme and authority in the target; HTTP/1.1 has the latter in `host`.
fn address(parts: &mut Parts) -> Result<(), Refusal> {
    let host = parts.headers.get(header::HOST);
    let name = match host.map(|value| Authority::try_from(value.as_bytes())) {
        Some(Ok(name)) => name,
        None if parts.version == Version::HTTP_10 => Authority::from_static("localhost"),
        _ => return Err(bad("the request names no valid host")),
    };
    parts.uri = rebuilt(parts, name)?;
    Ok(())
}

impl Work {
    fn finish(
        mut self,
        client: &Client,
        response: Response<Body>,
        hold: Option<super::attempt::Hold>,
    ) -> Response<Body> {
        self.facts.status = response.status().as_u16();
        let mut finish = Finish::new(Arc::clone(&client.shared), self.facts, hold, self.active);
        finish.saw_status(response.headers());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response.map(|body| body.carrying(finish));
        }
        response.map(|body| body.finishing(finish))
    }

    fn refuse(mut self, client: &Client, refusal: &Refusal) -> Response<Body> {
        self.facts.flags = refusal.reason;
        let response = refusal.message_for(self.grpc).map(Body::full);
        self.finish(client, response, None)
    }

    /// The no of a guard.
    fn guarded(
        mut self,
        client: &Client,
        refusal: &cloudwright_guard::Refusal,
        parts: &Parts,
    ) -> Response<Body> {
        self.facts.flags = refusal.reason.word();
        let response = refusal.response(&parts.headers).map(Body::full);
        self.finish(client, response, None)
    }

    fn respond(self, client: &Client, respond: &Respond) -> Response<Body> {
        let mut response = Response::new(Body::full(respond.body.as_bytes().to_vec()));
        *response.status_mut() = StatusCode::from_u16(respond.status).unwrap_or(StatusCode::OK);
        let kind = respond
            .content_type
            .as_deref()
            .unwrap_or("text/plain; charset=utf-8");
        if !respond.body.is_empty()
            && let Ok(value) = HeaderValue::from_str(kind)
        {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        self.finish(client, response, None)
    }

    fn redirect(self, client: &Client, redirect: &Redirect, parts: &Parts) -> Response<Body> {
        let rule = self.facts.rule.clone();
        let scheme = redirect
            .scheme
            .as_deref()
            .unwrap_or_else(|| client.scheme());
        let host = redirect.host.as_deref().unwrap_or_else(|| {
            authority(parts)
                .rsplit_once(':')
                .map_or(authority(parts), |(name, _)| name)
        });
        let port = redirect
            .port
            .map(|port| format!(":{port}"))
            .unwrap_or_else(|| {
                let kept = authority(parts)
                    .rsplit_once(':')
                    .filter(|_| redirect.host.is_none());
                kept.map(|(_, port)| format!(":{port}")).unwrap_or_default()
            });
        let path = match (&redirect.path, &redirect.prefix, &rule) {
            (Some(path), _, _) => path.to_string(),
            (None, Some(prefix), Some(rule)) => {
                edits::replaced(&rule.config.matches.path, parts.uri.path(), prefix)
            }
            _ => parts.uri.path().to_owned(),
        };
        let query = match parts.uri.query().filter(|_| !redirect.strip_query) {
            Some(query) => format!("?{query}"),
            None => String::new(),
        };
        let mut response = Response::new(Body::empty());
        let status = redirect.status.unwrap_or(301);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
        let location = format!("{scheme}://{host}{port}{path}{query}");
        if let Ok(value) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, value);
        }
        self.finish(client, response, None)
    }

    fn answered(
        mut self,
        client: &Client,
        answered: Answered,
        cookie: Option<HeaderValue>,
    ) -> Response<Body> {
        let Answered {
            mut response,
            hold,
            endpoint,
            retries,
        } = answered;
        self.facts.endpoint = Some(endpoint);
        self.facts.judged_at_end = true;
        self.facts.retries = retries;
        response.headers_mut().remove(headers::UNPROCESSED);
        if let Some(cookie) = cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        *response.version_mut() = Version::default();
        self.finish(client, response, Some(hold))
    }
}
