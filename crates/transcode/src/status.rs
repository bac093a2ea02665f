//! gRPC status ⇄ HTTP status, and `google.rpc.Status` as JSON.
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use crate::field::{Records, Wire};
use crate::json::Failure;

/// The end of a call, as its trailers say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcStatus {
    /// `google.rpc.Code`.
    pub code: u32,
    /// For developers.
    pub message: String,
    /// An encoded `google.rpc.Status` (`grpc-status-details-bin`), decoded from base64.
    pub details: Option<Vec<u8>>,
}

/// The HTTP status of a `google.rpc.Code`, as `google/rpc/code.proto` has it.
pub const fn http_status(code: u32) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        // 499 is nginx's "client closed request"; the table of Google names it for CANCELLED.
        1 => match StatusCode::from_u16(499) {
            Ok(status) => status,
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        },
        3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The code of an answer that is no gRPC at all (gRPC over HTTP/2, "HTTP to gRPC status").
const fn code_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

impl GrpcStatus {
    /// A status of our own.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
        }
    }

    /// The status in trailers, or in the headers of an answer that is only trailers.
    pub fn of(trailers: &HeaderMap) -> Option<Self> {
        let code = trailers.get("grpc-status")?.to_str().ok()?;
        let text = |value: &HeaderValue| {
            percent_decode(value.as_bytes())
                .decode_utf8_lossy()
                .into_owned()
        };
        let binary = |value: &HeaderValue| {
            let text = value.as_bytes();
            STANDARD_NO_PAD
                .decode(text)
                .or_else(|_| STANDARD.decode(text))
                .ok()
        };
        Some(Self {
            code: code.trim().parse().unwrap_or(2),
            message: trailers.get("grpc-message").map(text).unwrap_or_default(),
            details: trailers.get("grpc-status-details-bin").and_then(binary),
        })
    }

    /// The status of an answer that has none: by its HTTP status.
    pub fn of_http(status: StatusCode) -> Self {
        Self::new(
            code_of(status),
            format!("the upstream answered {status} without gRPC"),
        )
    }

    /// `google.rpc.Status` as JSON. Details whose type is in `pool` are written out, others as
    /// their type and base64 of their value.
    pub fn json(&self, pool: &DescriptorPool) -> Value {
        let mut status = json!({"code": self.code, "message": self.message});
        let details: Vec<Value> = self
            .details
            .iter()
            .flat_map(|bytes| Records::new(bytes))
            .filter_map(|record| match record {
                Ok(record) if record.number == 3 => Some(record.value),
                _ => None,
            })
            .filter_map(|value| match value {
                Wire::Len(any) => any_json(any, pool),
                _ => None,
            })
            .collect();
        if let (false, Some(object)) = (details.is_empty(), status.as_object_mut()) {
            object.insert("details".to_owned(), details.into());
        }
        status
    }
}

impl From<Failure> for GrpcStatus {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code, failure.message)
    }
}

/// A `google.protobuf.Any`.
fn any_json(any: &[u8], pool: &DescriptorPool) -> Option<Value> {
    let (mut url, mut value) = ("", &b""[..]);
    for record in Records::new(any) {
        let record = record.ok()?;
        match (record.number, record.value) {
            (1, Wire::Len(text)) => url = str::from_utf8(text).ok()?,
            (2, Wire::Len(bytes)) => value = bytes,
            _ => {}
        }
    }
    let known = || {
        let descriptor = pool.get_message_by_name(url.rsplit('/').next()?)?;
        let message = DynamicMessage::decode(descriptor, value).ok()?;
        serde_json::to_value(&message).ok()
    };
    Some(match known() {
        Some(Value::Object(mut fields)) => {
            fields.insert("@type".to_owned(), url.into());
            fields.into()
        }
        Some(other) => json!({"@type": url, "value": other}),
        None => json!({"@type": url, "value": STANDARD.encode(value)}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn reads_trailers() {
        let status = GrpcStatus::of(&trailers(&[
            ("grpc-status", "5"),
            ("grpc-message", "no b%C3%BCcher"),
            ("grpc-status-details-bin", "CAU"),
        ]));
        let expected = GrpcStatus {
            code: 5,
            message: "no bücher".into(),
            details: Some(vec![8, 5]),
        };
        assert_eq!(status, Some(expected));
        assert_eq!(GrpcStatus::of(&trailers(&[])), None);
        assert_eq!(
            GrpcStatus::of(&trailers(&[("grpc-status", "x")]))
                .unwrap()
                .code,
            2
        );
    }

    #[test]
    fn all_codes_have_an_http_status() {
        let all: Vec<u16> = (0..=17).map(|code| http_status(code).as_u16()).collect();
        assert_eq!(
            all,
            [
                200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500,
                401, 500
            ]
        );
        assert_eq!(GrpcStatus::of_http(StatusCode::BAD_GATEWAY).code, 14);
    }

    #[test]
    fn details_are_written_out_where_their_type_is_known() {
        let pool = DescriptorPool::decode(&include_bytes!("../tests/data/library.pb")[..]).unwrap();
        let any = |url: &str, value: &[u8]| {
            let mut any = vec![0x0A, url.len() as u8];
            any.extend(url.as_bytes());
            any.extend([0x12, value.len() as u8]);
            any.extend(value);
            let mut out = vec![0x1A, any.len() as u8];
            out.extend(any);
            out
        };
        let mut status = GrpcStatus::new(3, "bad");
        status.details = Some(
            [
                any("t.example/test.library.Note", &[0x0A, 1, b'x']),
                any("t.example/other", &[1, 2]),
            ]
            .concat(),
        );
        assert_eq!(
            status.json(&pool),
            json!({"code": 3, "message": "bad", "details": [
                {"@type": "t.example/test.library.Note", "text": "x"},
                {"@type": "t.example/other", "value": "AQI="},
            ]})
        );
    }
}
