//! The external check, without sending anything: what to ask, and what an answer means. The way
//! of the HTTP service of Envoy's `ext_authz`: same method, prefix and path, no body; 200 lets
//! the request pass, a server error is no answer, anything else is the refusal.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};

use super::Accepted;
use crate::config::{self, ConfigError};
use crate::principal::Principal;
use crate::refusal::{Extra, Reason, Refusal};

/// More of a refusing body is not passed on.
pub const MAX_BODY: usize = 64 * 1024;

/// The check as configured, names parsed.
#[derive(Debug)]
pub(super) struct External {
    cluster: Arc<str>,
    prefix: String,
    timeout: Duration,
    forward: Vec<HeaderName>,
    add: Vec<(HeaderName, HeaderValue)>,
    pub(super) upstream: Vec<HeaderName>,
    client: Vec<HeaderName>,
    pub(super) identity: Option<HeaderName>,
    fail_open: bool,
}

/// A question that the caller has to send. Dropping it is no answer: the request waits.
#[derive(Debug)]
pub struct Check {
    /// The cluster to ask.
    pub cluster: Arc<str>,
    /// How long it may take.
    pub timeout: Duration,
    /// The question: no body.
    pub request: Request<()>,
    external: Arc<External>,
    proved: Accepted,
}

/// An answer to a [`Check`]: at most [`MAX_BODY`] bytes of body are needed.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body (only of refusals).
    pub body: Bytes,
}

fn names(field: &str, list: &[String]) -> Result<Vec<HeaderName>, ConfigError> {
    list.iter()
        .map(|name| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| ConfigError::at(field, format!("{name:?} is not a header")))
        })
        .collect()
}

impl External {
    pub(super) fn new(config: &config::External) -> Result<Self, ConfigError> {
        let mut add = Vec::new();
        for (name, value) in &config.add_headers {
            let wrong = || ConfigError::at(format!("add_headers.{name}"), "cannot be sent");
            add.push((
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
                HeaderValue::from_str(value).map_err(|_| wrong())?,
            ));
        }
        let identity = names("identity_header", config.identity_header.as_slice())?;
        Ok(Self {
            cluster: config.cluster.as_str().into(),
            prefix: config.path_prefix.trim_end_matches('/').to_owned(),
            timeout: config.timeout,
            forward: names("forward_headers", &config.forward_headers)?,
            add,
            upstream: names("upstream_headers", &config.upstream_headers)?,
            client: names("client_headers", &config.client_headers)?,
            identity: identity.into_iter().next(),
            fail_open: config.fail_open,
        })
    }

    /// The question about a request of which `proved` is known already.
    pub(super) fn ask(self: &Arc<Self>, parts: &Parts, proved: Accepted) -> Check {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        // A path after a prefix that was checked: it can only fail for `*` (OPTIONS).
        *request.uri_mut() = format!("{}{path}", self.prefix).parse().unwrap_or_default();
        let headers = request.headers_mut();
        let host = match parts.uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => parts.headers.get(HOST).cloned(),
        };
        if let Some(host) = host {
            headers.insert(HOST, host);
        }
        for name in self.forward.iter().chain([&AUTHORIZATION]) {
            if *name == HOST || headers.contains_key(name) {
                continue;
            }
            for value in parts.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        for (name, value) in &self.add {
            headers.insert(name, value.clone());
        }
        Check {
            cluster: Arc::clone(&self.cluster),
            timeout: self.timeout,
            request,
            external: Arc::clone(self),
            proved,
        }
    }
}

impl Check {
    /// The path and query that are asked for.
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// What the answer means. None: there was none (refused, timed out).
    pub fn conclude(self, answer: Option<&Answer>) -> Result<Accepted, Refusal> {
        let Self {
            external,
            mut proved,
            ..
        } = self;
        let answer = match answer {
            Some(answer) if !answer.status.is_server_error() => answer,
            _ if external.fail_open => return Ok(proved),
            _ => {
                let message = "the service that decides about requests does not answer";
                return Err(Refusal::new(Reason::ExternalUnavailable, message)
                    .detail(Arc::clone(&external.cluster)));
            }
        };
        if answer.status != StatusCode::OK {
            return Err(external.refusal(answer));
        }
        for name in &external.upstream {
            for value in answer.headers.get_all(name) {
                proved.set.push((name.clone(), value.clone()));
            }
        }
        if let Some(name) = &external.identity {
            let identity = answer
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok());
            if let Some(identity) = identity.filter(|identity| !identity.is_empty()) {
                proved.principals.push(Principal::External(identity.into()));
            }
        }
        Ok(proved)
    }
}

impl External {
    fn refusal(&self, answer: &Answer) -> Refusal {
        let mut refusal = Refusal::new(Reason::ExternalDenied, "refused");
        // 1xx and 2xx other than 200 are no refusals anybody could read as such.
        if answer.status.as_u16() >= 300 {
            refusal.status = answer.status;
        }
        let mut extra = Extra::default();
        let body = answer.body.slice(..answer.body.len().min(MAX_BODY));
        let kind = (!body.is_empty()).then_some(&CONTENT_TYPE);
        for name in self.client.iter().chain(kind) {
            for value in answer.headers.get_all(name) {
                extra.headers.append(name, value.clone());
            }
        }
        extra.body = Some(body);
        refusal.extra = Some(Box::new(extra));
        refusal.detail(Arc::clone(&self.cluster))
    }
}
