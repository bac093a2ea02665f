//! One request and its answer.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::{
    answer::{Answer, Head},
    bodies::{Bodies, Refused},
    body::{Body, Source},
    config::Config,
    connection::{Caller, carry},
    counts::{Counts, Labels, Ticking},
    fan::Fan,
    inbox::{Arrival, Inbox, Notice},
    kinds::{Kinds, Route},
    outbox::Outbox,
    reads::{self, Allowed, Identity, Ticket, Tried},
    serve::Peers,
    state::State,
    status,
    stream::StreamBody,
    tls::Material,
    transport::Slot,
    waiting::{Connection, Room, Waiting},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// Everything that connections share.
pub(crate) struct Shared {
    pub config: Config,
    pub material: ArcSwap<Material>,
    pub kinds: ArcSwap<Kinds>,
    pub inbox: Arc<Inbox>,
    pub room: Room,
    pub outbox: Outbox,
    pub peers: Peers,
    pub state: State,
    pub allowed: Allowed,
    pub fan: Fan,
    pub counts: Arc<Counts>,
    pub bodies: Bodies,
    pub ids: AtomicU64,
}

/// Takes a request back from the program when its client is gone.
struct Asked<'a> {
    shared: &'a Shared,
    id: u64,
    answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.room.remove(self.id);
            self.shared.inbox.push(Notice::Gone(self.id));
        }
    }
}

impl Shared {
    /// The answer to one request.
    pub async fn exchange(&self, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
        let (parts, incoming) = request.into_parts();
        let mut request = Request::from_parts(parts, ());
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let kinds = self.kinds.load();
        let watch = asks_watch(&query);
        let route = Route::of(&kinds, request.method().as_str(), &path, watch);
        let labels = Labels::of(&route, query.contains("dryRun=All"));
        let mut ticking = self.counts.begin(labels);
        if is_odd(request.headers()) {
            let refused = refusal(400, status::odd_framing(), &[("connection", "close")]);
            return self.respond((refused, false), (None, None), &mut ticking);
        }
        let mut ticket = None;
        if let Ok(certificate) = caller.certificate() {
            let identity = Identity {
                certificate,
                authorization: request.headers().get(header::AUTHORIZATION).cloned(),
            };
            let headers = request.headers();
            let known = (&self.state, &self.allowed);
            if request.method() == Method::GET {
                match reads::answer(known.0, known.1, &route, &query, headers, &identity) {
                    Tried::Answered(body, extra) => {
                        self.counts.direct.fetch_add(1, Ordering::Relaxed);
                        ticking.code(200);
                        return self.direct(&extra, body, headers);
                    }
                    Tried::Askable(asked) => ticket = Some(asked),
                    Tried::No => {}
                }
            }
        }
        drop(kinds);
        let connection = upgrade_of(caller, &mut request);
        // In chunks, so that others can go on with it.
        let chunked = !caller.http2 && request.version() == Version::HTTP_11;
        let slot = chunked.then(|| Arc::clone(&caller.slot));
        let answer = self.ask(caller, request, path, query, incoming, ticket);
        let response = answer.await;
        self.respond(response, (connection, slot), &mut ticking)
    }

    fn direct(&self, extra: &HeaderMap, body: Body, headers: &HeaderMap) -> Response<Body> {
        let mut map = HeaderMap::with_capacity(10);
        map.insert(header::CONTENT_TYPE, JSON);
        map.extend(extra.iter().map(|(n, v)| (n.clone(), v.clone())));
        self.finish(StatusCode::OK, map, body, takes_gzip(headers))
    }

    /// Lets the program answer. The second value says whether the client takes gzip.
    async fn ask(
        &self,
        caller: &Caller,
        request: Request<()>,
        path: String,
        query: String,
        incoming: Incoming,
        ticket: Option<Box<Ticket>>,
    ) -> (Answer, bool) {
        let gzip = takes_gzip(request.headers());
        if self.room.len() >= self.config.waiting_max {
            return (
                refusal(429, status::too_many(), &[("retry-after", "1")]),
                gzip,
            );
        }
        let known = matches!(caller.certificate(), Ok(Some(_)));
        let read = self.bodies.read(request.headers(), incoming, known).await;
        let held = match read {
            Ok(held) => held,
            Err(refused) => return (self.unread(refused, caller.http2), gzip),
        };
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = oneshot::channel();
        let askable = ticket.is_some();
        self.room.add(id, Waiting { sender, ticket });
        let (parts, ()) = request.into_parts();
        let mut asked = Asked {
            shared: self,
            id,
            answered: false,
        };
        self.inbox.push(Notice::Request(Box::new(Arrival {
            id,
            method: parts.method,
            path,
            query,
            headers: parts.headers,
            body: held.data.clone(),
            peer: caller.peer.clone(),
            askable,
        })));
        let answer = receiver.await;
        asked.answered = answer.is_ok();
        let answer = answer.unwrap_or_else(|_| refusal(503, status::stopping(), &[]));
        (answer, gzip)
    }

    /// The answer to a request whose body was not read; HTTP/1.1 cannot go on after it.
    fn unread(&self, refused: Refused, http2: bool) -> Answer {
        let close = [("connection", "close")];
        let close = if http2 { &[][..] } else { &close[..] };
        match refused {
            Refused::TooLarge => {
                let limit = self.config.body_bytes_max;
                refusal(413, status::too_large(limit), close)
            }
            Refused::Broken => refusal(400, status::broken_body(), close),
            Refused::Busy => refusal(429, status::too_many(), &[("retry-after", "1")]),
        }
    }

    fn respond(
        &self,
        answer: (Answer, bool),
        (connection, slot): (Connection, Option<Arc<Slot>>),
        ticking: &mut Ticking,
    ) -> Response<Body> {
        let (answer, gzip) = answer;
        match answer {
            Answer::Whole(head, data) => {
                ticking.code(head.status);
                self.finish(head.code(), head.map(), Body::whole(data), gzip)
            }
            Answer::Stream(head, stream) => {
                ticking.code(head.status);
                let body = StreamBody::new(stream, slot, Some(ticking.open()));
                let body = Body::new(Source::Stream(body));
                self.finish(head.code(), head.map(), body, false)
            }
            Answer::Upgrade(head, program) => {
                ticking.code(101);
                let open = ticking.open();
                if let Some(connection) = connection {
                    tokio::spawn(async move {
                        // Either side may break it off at any time.
                        let _ = carry(connection, program).await;
                        drop(open);
                    });
                }
                let mut response = Response::new(Body::whole(Bytes::new()));
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                *response.headers_mut() = head.map();
                response
            }
        }
    }

    fn finish(
        &self,
        code: StatusCode,
        mut headers: HeaderMap,
        mut body: Body,
        gzip: bool,
    ) -> Response<Body> {
        let packed = headers.contains_key(header::CONTENT_ENCODING);
        let long = body
            .length()
            .is_some_and(|n| n >= self.config.gzip_bytes_min as u64);
        if gzip && long && !packed {
            body = body.gzipped();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let private = HeaderValue::from_static("no-cache, private");
        headers.entry(header::CACHE_CONTROL).or_insert(private);
        headers
            .entry(NO_SNIFF)
            .or_insert(HeaderValue::from_static("nosniff"));
        headers.insert(header::SERVER, HeaderValue::from_static("cloudwright"));
        let mut response = Response::new(body);
        *response.status_mut() = code;
        *response.headers_mut() = headers;
        response
    }
}

/// Whether somebody before us could see another end of the body than we do: more codings than `chunked` once.
fn is_odd(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(one), None) => !one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

fn asks_watch(query: &str) -> bool {
    query.split('&').any(|pair| {
        matches!(
            pair.split_once('=').unwrap_or((pair, "")),
            ("watch", "1" | "true" | "True" | "TRUE" | "t" | "T")
        )
    })
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted.filter_map(|v| v.to_str().ok()).any(|text| {
        text.split(',').any(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, ""));
            name.trim() == "gzip"
                && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    })
}

fn upgrade_of(caller: &Caller, request: &mut Request<()>) -> Connection {
    let wants = !caller.http2 && request.headers().contains_key(header::UPGRADE);
    wants.then(|| hyper::upgrade::on(request))
}

fn refusal(status: u16, body: Bytes, extra: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(
        extra
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
    );
    Answer::Whole(Head { status, headers }, body)
}
