//! Refusals: one type for every no, and how it reads over HTTP, gRPC and gRPC-Web.
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No credential of any kind that is asked for.
    MissingCredential,
    /// A key nobody has, or one that has expired.
    InvalidKey,
    /// A token that is not one, or not signed by a known key, or not for us.
    InvalidToken,
    /// A good token whose time is over, or not yet come.
    ExpiredToken,
    /// The keys to check the token with are not there (yet).
    KeysUnavailable,
    /// A verified peer that is not on the list.
    UnknownPeer,
    /// The external check said no.
    ExternalDenied,
    /// The external check did not answer.
    ExternalUnavailable,
    /// A rule denies it, or none allows it.
    Forbidden,
    /// A path that two readers may understand differently, where rules look at paths.
    AmbiguousPath,
    /// Out of tokens.
    RateLimited,
}

impl Reason {
    /// The word for logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::InvalidKey => "invalid_key",
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::KeysUnavailable => "keys_unavailable",
            Self::UnknownPeer => "unknown_peer",
            Self::ExternalDenied => "external_denied",
            Self::ExternalUnavailable => "external_unavailable",
            Self::Forbidden => "forbidden",
            Self::AmbiguousPath => "ambiguous_path",
            Self::RateLimited => "rate_limited",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MissingCredential
            | Self::InvalidKey
            | Self::InvalidToken
            | Self::ExpiredToken
            | Self::UnknownPeer => StatusCode::UNAUTHORIZED,
            Self::ExternalDenied | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::KeysUnavailable | Self::ExternalUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::AmbiguousPath => StatusCode::BAD_REQUEST,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// The gRPC status that goes with an HTTP status of a refusal (`google.rpc.Code`).
pub const fn grpc_code(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 3,        // INVALID_ARGUMENT
        401 => 16,       // UNAUTHENTICATED
        403 => 7,        // PERMISSION_DENIED
        404 => 12,       // UNIMPLEMENTED
        429 => 8,        // RESOURCE_EXHAUSTED
        502..=504 => 14, // UNAVAILABLE
        _ => 2,          // UNKNOWN
    }
}

/// A no, with all that the caller, the log and the metrics are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The HTTP status, usually that of the reason (an external check may choose another).
    pub status: StatusCode,
    /// One line for the caller; carries no secret.
    pub message: Cow<'static, str>,
    /// Which limit or rule decided, for the log.
    pub detail: Option<Arc<str>>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// Further headers (challenges) and a body, where there are any.
    pub extra: Option<Box<Extra>>,
}

/// What only some refusals carry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extra {
    /// Further headers: challenges, or those of an external check.
    pub headers: HeaderMap,
    /// The body of an external check's answer.
    pub body: Option<Bytes>,
}

/// How a caller reads answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// HTTP: status and body.
    Http,
    /// gRPC: status 200, and the rest in headers that are trailers at once.
    Grpc,
    /// gRPC-Web: the same, under the content type of the request.
    GrpcWeb,
}

impl Flavor {
    /// Read from the content type of the request.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else {
            return Self::Http;
        };
        let starts = |text: &[u8]| {
            value
                .get(..text.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(text))
        };
        match () {
            () if starts(b"application/grpc-web") => Self::GrpcWeb,
            () if starts(b"application/grpc")
                && matches!(value.get(16), None | Some(b'+' | b';' | b' ')) =>
            {
                Self::Grpc
            }
            () => Self::Http,
        }
    }
}

/// What `grpc-message` may not carry as it is: all but space to tilde, and percent.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// A text as `grpc-message` (gRPC over HTTP/2: "Percent-Encoded").
pub fn grpc_message(text: &str) -> HeaderValue {
    let encoded: Cow<str> = percent_encode(text.as_bytes(), MESSAGE).into();
    HeaderValue::from_str(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl Refusal {
    /// A refusal with the status of its reason.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            status: reason.status(),
            message: message.into(),
            detail: None,
            retry_after: None,
            extra: None,
        }
    }

    /// Names the limit or rule that decided.
    #[must_use]
    pub fn detail(mut self, detail: Arc<str>) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds a `WWW-Authenticate` challenge.
    #[must_use]
    pub fn challenge(mut self, challenge: HeaderValue) -> Self {
        let extra = self.extra.get_or_insert_default();
        extra.headers.append(WWW_AUTHENTICATE, challenge);
        self
    }

    /// The gRPC status code.
    pub const fn grpc_code(&self) -> u8 {
        grpc_code(self.status)
    }

    /// The whole answer, ready to send (HEAD: without the body). `request` are the headers of
    /// the request.
    pub fn response(&self, request: &HeaderMap) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        self.hints(response.headers_mut());
        match Flavor::of(request) {
            Flavor::Http => self.http(&mut response),
            Flavor::Grpc => self.grpc(&mut response, HeaderValue::from_static("application/grpc")),
            Flavor::GrpcWeb => {
                let kind = request.get(CONTENT_TYPE).cloned();
                let plain = HeaderValue::from_static("application/grpc-web");
                self.grpc(&mut response, kind.unwrap_or(plain));
            }
        }
        response
    }

    /// Challenges, and retry hints for all flavors.
    fn hints(&self, headers: &mut HeaderMap) {
        if let Some(extra) = &self.extra {
            headers.extend(extra.headers.clone());
        }
        let Some(after) = self.retry_after else {
            return;
        };
        let seconds = after.as_nanos().div_ceil(1_000_000_000).max(1);
        headers.insert(RETRY_AFTER, number(seconds));
    }

    fn http(&self, response: &mut Response<Bytes>) {
        *response.status_mut() = self.status;
        if let Some(body) = self.extra.as_ref().and_then(|extra| extra.body.as_ref()) {
            *response.body_mut() = body.clone();
            return;
        }
        let body = serde_json::json!({
            "code": self.status.as_u16(),
            "reason": self.reason.word(),
            "message": self.message,
        });
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        *response.body_mut() = format!("{body}\n").into();
    }

    /// Trailers-only: 200, and the status among the headers.
    fn grpc(&self, response: &mut Response<Bytes>, kind: HeaderValue) {
        let code = self.grpc_code();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(
            HeaderName::from_static("grpc-status"),
            u64::from(code).into(),
        );
        headers.insert(
            HeaderName::from_static("grpc-message"),
            grpc_message(&self.message),
        );
        if let Some(after) = self.retry_after {
            let millis = after.as_nanos().div_ceil(1_000_000).max(1);
            headers.insert(
                HeaderName::from_static("grpc-retry-pushback-ms"),
                number(millis),
            );
        }
    }
}

fn number(value: u128) -> HeaderValue {
    // A pushback is a signed 32-bit number to some clients.
    HeaderValue::from(value.min(i32::MAX as u128) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        headers
    }

    #[test]
    fn tells_callers_apart() {
        assert_eq!(Flavor::of(&HeaderMap::new()), Flavor::Http);
        for (kind, flavor) in [
            ("application/json", Flavor::Http),
            ("application/grpc", Flavor::Grpc),
            ("application/grpc+proto", Flavor::Grpc),
            ("application/grpcish", Flavor::Http),
            ("Application/gRPC-Web-text", Flavor::GrpcWeb),
        ] {
            assert_eq!(Flavor::of(&of(kind)), flavor, "{kind}");
        }
    }

    #[test]
    fn a_limit_over_grpc_is_resource_exhausted_with_a_pushback() {
        let refusal = Refusal::new(Reason::RateLimited, "limit „a“ 100%")
            .retry_after(Duration::from_micros(1500));
        let answer = refusal.response(&of("application/grpc"));
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["grpc-status"], "8");
        assert_eq!(
            answer.headers()["grpc-message"],
            "limit %E2%80%9Ea%E2%80%9C 100%25"
        );
        assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "2");
        assert_eq!(answer.headers()["retry-after"], "1");
        assert!(answer.body().is_empty());
    }

    #[test]
    fn over_http_it_is_429_with_a_body() {
        let refusal =
            Refusal::new(Reason::RateLimited, "no").retry_after(Duration::from_millis(1001));
        let answer = refusal.response(&HeaderMap::new());
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "2");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(body["reason"], "rate_limited");
        assert!(answer.headers().get("grpc-status").is_none());
    }

    #[test]
    fn grpc_web_keeps_its_content_type() {
        let refusal = Refusal::new(Reason::InvalidToken, "no");
        let answer = refusal.response(&of("application/grpc-web-text+proto"));
        assert_eq!(
            answer.headers()["content-type"],
            "application/grpc-web-text+proto"
        );
        assert_eq!(answer.headers()["grpc-status"], "16");
    }
}
