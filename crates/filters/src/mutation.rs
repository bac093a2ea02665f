//! What filters changed, as operations on a message; and what they answer in the backend's place.

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderMap, Method, Response, StatusCode, request, response};

/// Why an operation cannot be applied. The host checks the same, so this is a fault of the host.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MutationError {
    /// Bytes that are no operation.
    #[error("an operation that is cut off")]
    CutOff,
    /// An operation that this version does not know.
    #[error("an operation of kind {0}")]
    Kind(u8),
    /// A name or value that HTTP does not allow.
    #[error("{0} that HTTP does not allow")]
    Invalid(&'static str),
    /// A header that the proxy alone decides.
    #[error("{0} is the proxy's to decide")]
    Framing(HeaderName),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operation {
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
    Method(Method),
    Target(PathAndQuery),
    Authority(Authority),
    Status(StatusCode),
}

/// Headers that no filter may change: they frame the message on its connection.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The changes of a whole chain, checked, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mutations(Vec<Operation>);

impl Mutations {
    /// Decode and check all operations.
    ///
    /// # Errors
    /// One of them cannot be applied.
    pub fn parse(mut bytes: Bytes) -> Result<Self, MutationError> {
        let mut operations = Vec::new();
        while !bytes.is_empty() {
            operations.push(parse_one(&mut bytes)?);
        }
        Ok(Self(operations))
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Change a request's head. A route that was chosen before may no longer fit; see
    /// [`Mutations::changes_target`].
    pub fn apply_request(self, parts: &mut request::Parts) {
        for operation in self.0 {
            match operation {
                Operation::Method(method) => parts.method = method,
                Operation::Target(target) => {
                    change_uri(&mut parts.uri, |uri| uri.path_and_query = Some(target));
                }
                Operation::Authority(authority) => change_authority(parts, authority),
                Operation::Status(_) => {}
                other => apply_header(other, &mut parts.headers),
            }
        }
    }

    /// Change a response's head.
    pub fn apply_response(self, parts: &mut response::Parts) {
        for operation in self.0 {
            match operation {
                Operation::Status(status) => parts.status = status,
                other => apply_header(other, &mut parts.headers),
            }
        }
    }

    /// Whether method, path or host are others now, so that a route is to be chosen again.
    #[must_use]
    pub fn changes_target(&self) -> bool {
        self.0.iter().any(|operation| {
            matches!(
                operation,
                Operation::Method(_) | Operation::Target(_) | Operation::Authority(_)
            )
        })
    }

    fn into_headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for operation in self.0 {
            apply_header(operation, &mut headers);
        }
        headers
    }
}

fn apply_header(operation: Operation, headers: &mut HeaderMap) {
    match operation {
        Operation::Set(name, value) => {
            headers.insert(name, value);
        }
        Operation::Add(name, value) => {
            headers.append(name, value);
        }
        Operation::Remove(name) => {
            headers.remove(name);
        }
        _ => {}
    }
}

fn change_uri(uri: &mut Uri, change: impl FnOnce(&mut http::uri::Parts)) {
    let mut parts = std::mem::take(uri).into_parts();
    let before = parts.clone_for_undo();
    change(&mut parts);
    *uri = Uri::from_parts(parts)
        .or_else(|_| Uri::from_parts(before))
        .unwrap_or_default();
}

fn change_authority(parts: &mut request::Parts, authority: Authority) {
    if parts.uri.authority().is_none() {
        // HTTP/1.1: the host is a header. An authority is ASCII, so it is a header's value.
        if let Ok(value) = HeaderValue::from_str(authority.as_str()) {
            parts.headers.insert(HOST, value);
        }
        return;
    }
    if parts.headers.contains_key(HOST)
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, value);
    }
    change_uri(&mut parts.uri, |uri| uri.authority = Some(authority));
}

/// `http::uri::Parts` has no `Clone`; its fields do.
trait CloneForUndo {
    fn clone_for_undo(&self) -> Self;
}

impl CloneForUndo for http::uri::Parts {
    fn clone_for_undo(&self) -> Self {
        let mut copy = Self::default();
        copy.scheme.clone_from(&self.scheme);
        copy.authority.clone_from(&self.authority);
        copy.path_and_query.clone_from(&self.path_and_query);
        copy
    }
}

fn parse_one(bytes: &mut Bytes) -> Result<Operation, MutationError> {
    let Some(([kind, n0, n1, v0, v1, v2, v3], _)) = bytes.split_first_chunk::<7>() else {
        return Err(MutationError::CutOff);
    };
    let kind = *kind;
    let name_length = usize::from(u16::from_le_bytes([*n0, *n1]));
    let value_length = u32::from_le_bytes([*v0, *v1, *v2, *v3]) as usize;
    if bytes.len() < 7 + name_length + value_length {
        return Err(MutationError::CutOff);
    }
    let mut whole = bytes.split_to(7 + name_length + value_length);
    let value = whole.split_off(7 + name_length);
    let name = whole.split_off(7);
    Ok(match kind {
        1 => Operation::Set(header_name(&name)?, header_value(value)?),
        2 => Operation::Add(header_name(&name)?, header_value(value)?),
        3 => Operation::Remove(header_name(&name)?),
        16 => Operation::Method(
            Method::from_bytes(&value).map_err(|_| MutationError::Invalid("a method"))?,
        ),
        17 => Operation::Target(
            PathAndQuery::from_maybe_shared(value).map_err(|_| MutationError::Invalid("a path"))?,
        ),
        18 => Operation::Authority(
            Authority::from_maybe_shared(value).map_err(|_| MutationError::Invalid("a host"))?,
        ),
        19 => Operation::Status(status(&value)?),
        other => return Err(MutationError::Kind(other)),
    })
}

fn header_name(name: &[u8]) -> Result<HeaderName, MutationError> {
    let name =
        HeaderName::from_bytes(name).map_err(|_| MutationError::Invalid("a header's name"))?;
    if FRAMING.contains(&name.as_str()) {
        return Err(MutationError::Framing(name));
    }
    Ok(name)
}

fn header_value(value: Bytes) -> Result<HeaderValue, MutationError> {
    HeaderValue::from_maybe_shared(value).map_err(|_| MutationError::Invalid("a header's value"))
}

fn status(text: &[u8]) -> Result<StatusCode, MutationError> {
    StatusCode::from_bytes(text)
        .ok()
        .filter(|status| (200..=599).contains(&status.as_u16()))
        .ok_or(MutationError::Invalid("a status"))
}

/// An answer in the backend's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200–599.
    pub status: StatusCode,
    /// Without a length; the body is whole.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
    /// Whether a filter failed (and was to fail closed), rather than chose to answer.
    pub failed: bool,
}

impl Answer {
    /// From the frame of a filter's `respond(…)`: status, length of operations, operations, body.
    ///
    /// # Errors
    /// It is cut off, or holds what HTTP does not allow.
    pub fn parse(mut bytes: Bytes, failed: bool) -> Result<Self, MutationError> {
        let Some(([s0, s1, l0, l1, l2, l3], _)) = bytes.split_first_chunk::<6>() else {
            return Err(MutationError::CutOff);
        };
        let code = u16::from_le_bytes([*s0, *s1]);
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let status = StatusCode::from_u16(code)
            .ok()
            .filter(|_| (200..=599).contains(&code))
            .ok_or(MutationError::Invalid("a status"))?;
        let mut operations = bytes.split_off(6);
        if operations.len() < length {
            return Err(MutationError::CutOff);
        }
        let body = operations.split_off(length);
        let headers = Mutations::parse(operations)?.into_headers();
        Ok(Self {
            status,
            headers,
            body,
            failed,
        })
    }

    /// The answer for a request that cannot go on without a filter.
    #[must_use]
    pub fn refusal(status: StatusCode) -> Self {
        let text = Bytes::from_static(b"a filter of this route is not available\n");
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain"),
        );
        Self {
            status,
            headers,
            body: text,
            failed: true,
        }
    }

    /// As a response with its body.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

#[cfg(test)]
#[path = "mutation_test.rs"]
mod tests;
