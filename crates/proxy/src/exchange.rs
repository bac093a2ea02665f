//! One request on its way from a clear client into the mesh: shared by gateway and outbound.
use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode, Uri, header, request::Parts, uri::Authority};
use hyper::body::{Body as _, Incoming};

use crate::{
    body::{Body, Guarded, Replay},
    bootstrap::Role,
    drain::Active,
    forward::{self, Outgoing},
    headers,
    proxy::Proxy,
    record::{Finish, Record},
    respond::Refusal,
    table::{Cluster, Policy},
    tunnel,
};

/// The host a request names, from its target or its `Host` field.
#[must_use]
pub fn host<B>(request: &Request<B>) -> String {
    match request.uri().authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => request
            .headers()
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    }
}

/// A request under way.
pub struct Exchange {
    proxy: Arc<Proxy>,
    record: Record,
    active: Active,
    grpc: bool,
}

impl Exchange {
    /// Starts the clock and notes what the request is.
    #[must_use]
    pub fn begin<B>(proxy: Arc<Proxy>, direction: &'static str, request: &Request<B>) -> Self {
        let active = proxy.drain.enter();
        let mut record = Record::new(direction);
        record.method = request.method().clone();
        record.path = request.uri().path().to_owned();
        record.host = host(request);
        Self {
            proxy,
            record,
            active,
            grpc: headers::is_grpc(request.headers()),
        }
    }

    /// Ends it with an answer of our own.
    #[must_use]
    pub fn refuse(mut self, refusal: &Refusal) -> Response<Body> {
        let response = refusal.answer(self.grpc);
        self.record.status = refusal.status.as_u16();
        self.record.flags = refusal.reason;
        let finish = Finish::new(self.proxy, self.record, None, self.active);
        response.map(|body| body.finishing(finish))
    }

    /// Sends it to `cluster` and gives back the answer.
    pub async fn run(
        mut self,
        cluster: &Cluster,
        policy: &Policy,
        mut parts: Parts,
        incoming: Incoming,
    ) -> Response<Body> {
        self.record.service = Arc::clone(&cluster.label);
        self.record.request_id = Some(headers::ensure_request_id(&mut parts.headers));
        headers::set_mesh(
            &mut parts.headers,
            &self.proxy.namespace,
            &self.proxy.sidecar,
        );
        if parts.version == http::Version::HTTP_11 && wants_upgrade(&parts) {
            return self.upgrade(cluster, parts, incoming).await;
        }
        headers::remove_hop_by_hop(&mut parts.headers);
        if let Err(refusal) = self.address(&mut parts) {
            return self.refuse(&refusal);
        }
        let body = match self.guard(incoming) {
            Ok(body) => body,
            Err(refusal) => return self.refuse(&refusal),
        };
        let body = Replay::new(body, self.proxy.boot.limits.replay_bytes);
        let outgoing = Outgoing {
            cluster,
            policy,
            parts,
            body,
        };
        match forward::forward(&self.proxy, outgoing, &mut self.record).await {
            Ok((response, lease)) => {
                let mut response = response.map(Body::incoming);
                headers::remove_hop_by_hop(response.headers_mut());
                response.headers_mut().remove(headers::UNPROCESSED);
                self.record.status = response.status().as_u16();
                let finish =
                    Finish::new(self.proxy, self.record, Some(Box::new(lease)), self.active);
                *response.version_mut() = http::Version::default();
                response.map(|body| body.finishing(finish))
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// HTTP/2 wants scheme and authority in the target.
    fn address(&self, parts: &mut Parts) -> Result<(), Refusal> {
        let bad = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message);
        let authority: Authority = self
            .record
            .host
            .parse()
            .map_err(|_| bad("the request names no valid host"))?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|_| bad("the request has no valid path"))?;
        parts.headers.remove(header::HOST);
        Ok(())
    }

    fn guard(&self, incoming: Incoming) -> Result<Guarded, Refusal> {
        let limits = &self.proxy.boot.limits;
        if self.proxy.boot.role != Role::Gateway || self.grpc {
            return Ok(Guarded::new(incoming, None, None));
        }
        let most = (limits.max_body_bytes > 0).then_some(limits.max_body_bytes);
        if most.is_some_and(|most| incoming.size_hint().lower() > most) {
            let message = format!("the body is longer than {} bytes", limits.max_body_bytes);
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_long",
                message,
            ));
        }
        let pause = Duration::from_millis(limits.body_idle_timeout_ms);
        Ok(Guarded::new(
            incoming,
            most,
            (!pause.is_zero()).then_some(pause),
        ))
    }

    async fn upgrade(self, cluster: &Cluster, parts: Parts, incoming: Incoming) -> Response<Body> {
        let Self {
            proxy,
            record,
            active,
            grpc,
        } = self;
        match tunnel::upgrade(&proxy, cluster, parts, incoming, record).await {
            Ok(response) => response,
            Err((record, refusal)) => Self {
                proxy,
                record,
                active,
                grpc,
            }
            .refuse(&refusal),
        }
    }
}

/// Whether the bytes after the head belong to another protocol; `h2c` is not offered this way.
fn wants_upgrade(parts: &Parts) -> bool {
    headers::is_upgrade(&parts.headers)
        && parts
            .headers
            .get(header::UPGRADE)
            .is_none_or(|value| value != "h2c")
}
