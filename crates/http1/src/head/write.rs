//! Heads as we write them: one canonical form, framing decided by the body that follows.

use http::header::{self, HeaderMap};
use http::{Method, StatusCode, Version, request, response};

use super::fields::number;

/// How the end of a body we send is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// No body, and no field about one.
    Nothing,
    /// No body is sent; this would be its length (HEAD, 304).
    Would(u64),
    Length(u64),
    Chunked,
    /// By closing the connection (HTTP/1.0 clients).
    Close,
}

/// What the `connection` field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing: HTTP/1.1 goes on.
    Silent,
    /// `keep-alive`, for an HTTP/1.0 peer.
    Alive,
    Close,
}

/// The one content-length of a map that was not checked yet.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| number(value.as_bytes()).ok())
}

impl Outgoing {
    /// For a response with a body of `exact` length, if it is known.
    pub(crate) fn response(
        parts: &response::Parts,
        exact: Option<u64>,
        method: &Method,
        version: Version,
    ) -> Self {
        let status = parts.status;
        if status.is_informational()
            || status == StatusCode::NO_CONTENT
            || (*method == Method::CONNECT && status.is_success())
        {
            return Self::Nothing;
        }
        if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
            let length = length(&parts.headers).or(exact.filter(|exact| *exact != 0));
            return length.map_or(Self::Nothing, Self::Would);
        }
        match exact.or_else(|| length(&parts.headers)) {
            Some(length) => Self::Length(length),
            None if version == Version::HTTP_10 => Self::Close,
            None => Self::Chunked,
        }
    }

    /// For a request with a body of `exact` length, if it is known.
    pub(crate) fn request(parts: &request::Parts, exact: Option<u64>) -> Self {
        match exact {
            Some(0) if is_bodiless(&parts.method) => Self::Nothing,
            Some(length) => Self::Length(length),
            None => length(&parts.headers).map_or(Self::Chunked, Self::Length),
        }
    }

    /// Whether bytes of a body follow the head.
    pub(crate) fn has_body(self) -> bool {
        !matches!(self, Self::Nothing | Self::Would(_) | Self::Length(0))
    }
}

/// Whether a request with no body needs no field that says so (RFC 9110, section 8.6).
fn is_bodiless(method: &Method) -> bool {
    !matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Append the head of a response; what it says about the connection: a `connection: close`
/// among its fields overrules `keep`.
pub(crate) fn write_response(
    out: &mut Vec<u8>,
    parts: &response::Parts,
    outgoing: Outgoing,
    keep: Keep,
) -> Keep {
    out.reserve(64 + parts.headers.len() * 48);
    out.extend_from_slice(b"HTTP/1.1 ");
    if parts.status == StatusCode::OK {
        out.extend_from_slice(b"200 OK");
    } else {
        out.extend_from_slice(parts.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(
            parts
                .status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes(),
        );
    }
    out.extend_from_slice(b"\r\n");
    let upgrades = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    let form = if upgrades { &SWITCHING } else { &RESPONSE };
    let seen = write_fields(out, &parts.headers, form);
    write_framing(out, outgoing);
    let keep = if seen.connection && closes(&parts.headers) {
        Keep::Close
    } else {
        keep
    };
    match keep {
        _ if upgrades => out.extend_from_slice(b"connection: upgrade\r\n"),
        Keep::Silent => {}
        Keep::Alive => out.extend_from_slice(b"connection: keep-alive\r\n"),
        Keep::Close => out.extend_from_slice(b"connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
    keep
}

/// Whether the caller wants the connection closed after this response.
fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// Append the head of a request; whether it asks for an upgrade.
pub(crate) fn write_request(out: &mut Vec<u8>, parts: &request::Parts, outgoing: Outgoing) -> bool {
    out.reserve(128 + parts.headers.len() * 48);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    write_target(out, parts);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let seen = write_fields(out, &parts.headers, &REQUEST);
    if !seen.host {
        let host = parts
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        write_field(out, "host", host.as_bytes());
    }
    write_framing(out, outgoing);
    out.extend_from_slice(match (seen.upgrade, seen.te) {
        (false, false) => b"\r\n".as_slice(),
        (true, false) => b"connection: upgrade\r\n\r\n",
        (false, true) => b"te: trailers\r\nconnection: te\r\n\r\n",
        (true, true) => b"te: trailers\r\nconnection: upgrade, te\r\n\r\n",
    });
    seen.upgrade
}

fn write_target(out: &mut Vec<u8>, parts: &request::Parts) {
    if parts.method == Method::CONNECT
        && let Some(authority) = parts.uri.authority()
    {
        return out.extend_from_slice(authority.as_str().as_bytes());
    }
    match parts.uri.path_and_query() {
        Some(path) if !path.as_str().is_empty() => {
            if path.as_str().starts_with('?') {
                out.push(b'/');
            }
            out.extend_from_slice(path.as_str().as_bytes());
        }
        _ => out.push(b'/'),
    }
}

/// Which fields a kind of head has.
struct Form {
    host: bool,
    upgrade: bool,
    /// Several cookie fields become one (RFC 9113, section 8.2.3), and nothing is expected.
    request: bool,
}

const REQUEST: Form = Form {
    host: true,
    upgrade: true,
    request: true,
};
const RESPONSE: Form = Form {
    host: true,
    upgrade: false,
    request: false,
};
const SWITCHING: Form = Form {
    host: true,
    upgrade: true,
    request: false,
};
const TRAILERS: Form = Form {
    host: false,
    upgrade: false,
    request: false,
};

/// Fields that were come across.
#[derive(Default)]
struct Seen {
    host: bool,
    upgrade: bool,
    te: bool,
    connection: bool,
    cookie: bool,
}

fn write_fields(out: &mut Vec<u8>, headers: &HeaderMap, form: &Form) -> Seen {
    let mut seen = Seen::default();
    for (name, value) in headers {
        let name = name.as_str();
        match name {
            "keep-alive" | "proxy-connection" | "transfer-encoding" | "content-length" => continue,
            "connection" => {
                seen.connection = true;
                continue;
            }
            "te" => {
                seen.te = true;
                continue;
            }
            "expect" if form.request => continue,
            // One host at most, however it got there.
            "host" if !form.host || std::mem::replace(&mut seen.host, true) => continue,
            "upgrade" if !form.upgrade => continue,
            "upgrade" => seen.upgrade = true,
            "cookie" if form.request => {
                if !std::mem::replace(&mut seen.cookie, true) {
                    write_cookies(out, headers);
                }
                continue;
            }
            _ => {}
        }
        write_field(out, name, value.as_bytes());
    }
    seen
}

fn write_cookies(out: &mut Vec<u8>, headers: &HeaderMap) {
    let mut before: &[u8] = b"cookie: ";
    for cookie in headers.get_all(header::COOKIE) {
        out.extend_from_slice(before);
        out.extend_from_slice(cookie.as_bytes());
        before = b"; ";
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_framing(out: &mut Vec<u8>, outgoing: Outgoing) {
    match outgoing {
        Outgoing::Nothing | Outgoing::Close => {}
        Outgoing::Would(length) | Outgoing::Length(length) => {
            write_field(
                out,
                "content-length",
                itoa::Buffer::new().format(length).as_bytes(),
            );
        }
        Outgoing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

/// Append the last chunk and trailer fields.
pub(crate) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    write_fields(out, trailers, &TRAILERS);
    out.extend_from_slice(b"\r\n");
}
