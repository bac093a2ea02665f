//! Answers that the proxy gives itself: JSON for HTTP, a status in the trailers-only form for gRPC.
use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;

/// A refusal: status, a word for programs, a sentence for people.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
    pub message: String,
    /// When another try is worth while.
    pub retry_after: Option<std::time::Duration>,
}

impl Refusal {
    #[must_use]
    pub fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The answer as a body of the mesh's own ways.
    #[must_use]
    pub fn answer(&self, grpc: bool) -> Response<Body> {
        self.message_for(grpc).map(|text| {
            if text.is_empty() {
                Body::empty()
            } else {
                Body::full(text)
            }
        })
    }

    /// The answer; gRPC clients want 200 with `grpc-status`.
    #[must_use]
    pub fn message_for(&self, grpc: bool) -> Response<String> {
        let mut response = if grpc {
            let mut response = Response::new(String::new());
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/grpc"),
            );
            headers.insert(
                "grpc-status",
                HeaderValue::from_static(grpc_status(self.status)),
            );
            if let Ok(message) = HeaderValue::from_str(&percent(&self.message)) {
                headers.insert("grpc-message", message);
            }
            response
        } else {
            let body = serde_json::json!({
                "code": self.status.as_u16(), "reason": self.reason, "message": self.message});
            let mut response = Response::new(format!("{body}\n"));
            *response.status_mut() = self.status;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        };
        if let Some(after) = self.retry_after {
            let headers = response.headers_mut();
            let seconds = after.as_nanos().div_ceil(1_000_000_000).max(1);
            headers.insert(header::RETRY_AFTER, number(seconds));
            if grpc {
                headers.insert("grpc-retry-pushback-ms", number(after.as_millis().max(1)));
            }
        }
        response.headers_mut().insert(
            "x-cloudwright-reason",
            HeaderValue::from_static(self.reason),
        );
        response
    }
}

fn number(value: u128) -> HeaderValue {
    HeaderValue::from(u64::try_from(value).unwrap_or(u64::MAX))
}

/// The gRPC code for an HTTP status of a proxy.
fn grpc_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        408 | 504 => "4",
        413 | 429 | 431 => "8",
        _ => "14",
    }
}

fn percent(message: &str) -> String {
    let mut out = String::new();
    for byte in message.bytes() {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_gets_a_status_instead_of_json() {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_endpoint", "nö: 5%");
        let answer = refusal.answer(true);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["grpc-status"], "14");
        assert_eq!(answer.headers()["grpc-message"], "n%C3%B6: 5%25");
        assert_eq!(refusal.answer(false).status(), 503);
    }
}
