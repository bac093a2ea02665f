//! A decoded field: parsed once, cloned by reference counts.

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::Protocol;

/// The name of a field; `Bad` is one that HTTP/2 forbids (upper case, no token, unknown pseudo).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    Protocol,
    Header(HeaderName),
    Bad,
}

/// A field of a header block. `Malformed` makes the message malformed, not the connection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Method(Method),
    Scheme(Scheme),
    Authority(Authority),
    /// `:path`; `*` and anything that begins with `/`.
    Path(PathAndQuery),
    Status(StatusCode),
    Protocol(Protocol),
    Header(HeaderName, HeaderValue),
    Malformed(Name),
}

impl Name {
    /// The name in `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        if bytes.first() != Some(&b':') {
            return HeaderName::from_lowercase(bytes).map_or(Self::Bad, Self::Header);
        }
        match bytes {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":status" => Self::Status,
            b":protocol" => Self::Protocol,
            _ => Self::Bad,
        }
    }

    /// The field of this name with `value`.
    pub(crate) fn with(self, value: Bytes) -> Field {
        let parsed = match &self {
            Self::Method => Method::from_bytes(&value).ok().map(Field::Method),
            Self::Scheme => scheme(&value).map(Field::Scheme),
            Self::Authority => authority(value).map(Field::Authority),
            Self::Path => path(value).map(Field::Path),
            Self::Status => status(&value).map(Field::Status),
            Self::Protocol => Protocol::from_bytes(value).map(Field::Protocol),
            Self::Header(_) => return self.header(value),
            Self::Bad => None,
        };
        parsed.unwrap_or(Field::Malformed(self))
    }

    fn header(self, value: Bytes) -> Field {
        let edge = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if edge(value.first()) || edge(value.last()) {
            return Field::Malformed(self);
        }
        match (self, HeaderValue::from_maybe_shared(value)) {
            (Self::Header(name), Ok(value)) => Field::Header(name, value),
            (name, _) => Field::Malformed(name),
        }
    }
}

impl Field {
    /// The name of this field.
    pub(crate) fn name(&self) -> Name {
        match self {
            Self::Method(_) => Name::Method,
            Self::Scheme(_) => Name::Scheme,
            Self::Authority(_) => Name::Authority,
            Self::Path(_) => Name::Path,
            Self::Status(_) => Name::Status,
            Self::Protocol(_) => Name::Protocol,
            Self::Header(name, _) => Name::Header(name.clone()),
            Self::Malformed(name) => name.clone(),
        }
    }
}

fn scheme(value: &[u8]) -> Option<Scheme> {
    match value {
        b"http" => Some(Scheme::HTTP),
        b"https" => Some(Scheme::HTTPS),
        _ => Scheme::try_from(value).ok(),
    }
}

fn authority(value: Bytes) -> Option<Authority> {
    // User information is not for the wire (RFC 9113 section 8.3.1).
    if value.contains(&b'@') {
        return None;
    }
    Authority::from_maybe_shared(value).ok()
}

fn path(value: Bytes) -> Option<PathAndQuery> {
    let fine = value.first() == Some(&b'/') || value.as_ref() == b"*";
    if !fine || value.contains(&b'#') {
        return None;
    }
    PathAndQuery::from_maybe_shared(value).ok()
}

fn status(value: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(value).ok()
}
