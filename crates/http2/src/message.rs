//! Fields of a block into a message, with the rules of RFC 9113 section 8 and RFC 8441.

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};

use crate::Protocol;
use crate::hpack::{Field, Sink};

/// A message that breaks a rule; the word is for counters.
pub(crate) type Malformed = &'static str;

/// Gathers the fields of one block.
pub(crate) struct Gather {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    status: Option<StatusCode>,
    protocol: Option<Protocol>,
    headers: HeaderMap,
    length: Option<u64>,
    left: usize,
    cookies: u32,
    malformed: Option<Malformed>,
    pseudo_over: bool,
    /// The block is larger than allowed; what came behind the limit was dropped.
    pub(crate) oversize: bool,
}

impl Gather {
    /// An empty block of at most `limit` octets as RFC 9113 section 6.5.2 counts them.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            method: None,
            scheme: None,
            authority: None,
            path: None,
            status: None,
            protocol: None,
            headers: HeaderMap::new(),
            length: None,
            left: limit as usize,
            cookies: 0,
            malformed: None,
            pseudo_over: false,
            oversize: false,
        }
    }

    /// The declared length of the body.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// The block as a request's head.
    pub(crate) fn request(mut self, connect_protocol: bool) -> Result<Request<()>, Malformed> {
        self.check()?;
        if self.status.is_some() {
            return Err("pseudo_header");
        }
        let method = self.method.take().ok_or("no_method")?;
        let mut parts = http::uri::Parts::default();
        if method == Method::CONNECT && self.protocol.is_none() {
            if self.scheme.is_some() || self.path.is_some() {
                return Err("connect_target");
            }
            parts.authority = Some(self.authority.take().ok_or("no_authority")?);
        } else {
            if self.protocol.is_some() && (method != Method::CONNECT || !connect_protocol) {
                return Err("protocol");
            }
            let path = self.path.take().ok_or("no_path")?;
            if path.as_str() == "*" && method != Method::OPTIONS {
                return Err("path");
            }
            let scheme = self.scheme.take().ok_or("no_scheme")?;
            self.host_agrees()?;
            parts.authority = self.authority.take();
            // A URI has a scheme only together with an authority.
            parts.scheme = parts.authority.is_some().then_some(scheme);
            parts.path_and_query = Some(path);
        }
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| "uri")?;
        *request.version_mut() = Version::HTTP_2;
        if let Some(protocol) = self.protocol.take() {
            request.extensions_mut().insert(protocol);
        }
        *request.headers_mut() = self.into_headers();
        Ok(request)
    }

    /// The block as a response's head.
    pub(crate) fn response(mut self) -> Result<Response<()>, Malformed> {
        self.check()?;
        let others = self.method.is_some() || self.scheme.is_some() || self.path.is_some();
        if others || self.authority.is_some() || self.protocol.is_some() {
            return Err("pseudo_header");
        }
        let mut response = Response::new(());
        *response.status_mut() = self.status.take().ok_or("no_status")?;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = self.into_headers();
        Ok(response)
    }

    /// The block as trailers.
    pub(crate) fn trailers(self) -> Result<HeaderMap, Malformed> {
        self.check()?;
        let pseudo = self.method.is_some() || self.scheme.is_some() || self.path.is_some();
        if pseudo || self.authority.is_some() || self.status.is_some() || self.protocol.is_some() {
            return Err("pseudo_in_trailers");
        }
        Ok(self.into_headers())
    }

    fn check(&self) -> Result<(), Malformed> {
        self.malformed.map_or(Ok(()), Err)
    }

    /// `host` must say what `:authority` says: two answers to "for whom" are an attack.
    fn host_agrees(&self) -> Result<(), Malformed> {
        let Some(authority) = &self.authority else {
            return Ok(());
        };
        let same = |host: &HeaderValue| {
            host.as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
        };
        if self.headers.get_all(header::HOST).iter().all(same) {
            Ok(())
        } else {
            Err("host_differs")
        }
    }

    /// Cookies in one field again, as everyone but HTTP/2 wants them (section 8.2.3).
    fn into_headers(mut self) -> HeaderMap {
        if self.cookies > 1 {
            let mut joined = Vec::new();
            for value in self.headers.get_all(header::COOKIE) {
                if !joined.is_empty() {
                    joined.extend_from_slice(b"; ");
                }
                joined.extend_from_slice(value.as_bytes());
            }
            if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
                self.headers.insert(header::COOKIE, value);
            }
        }
        self.headers
    }

    fn bad(&mut self, why: Malformed) {
        self.malformed.get_or_insert(why);
    }

    fn header(&mut self, name: HeaderName, value: HeaderValue) {
        self.pseudo_over = true;
        if let Some(why) = forbidden(&name, &value) {
            return self.bad(why);
        }
        if name == header::CONTENT_LENGTH {
            match digits(value.as_bytes()) {
                Some(length) if self.length.is_none_or(|known| known == length) => {
                    self.length = Some(length);
                }
                _ => return self.bad("content_length"),
            }
        } else if name == header::COOKIE {
            self.cookies += 1;
        }
        if self.headers.try_append(name, value).is_err() {
            self.oversize = true;
        }
    }
}

/// Take a pseudo header field once, and only before the others.
macro_rules! once {
    ($gather:ident, $slot:ident, $value:ident) => {{
        if $gather.pseudo_over || $gather.$slot.replace($value).is_some() {
            $gather.bad("pseudo_header");
        }
    }};
}

impl Sink for Gather {
    fn field(&mut self, field: Field, size: usize) {
        let Some(left) = self.left.checked_sub(size) else {
            self.oversize = true;
            return;
        };
        self.left = left;
        match field {
            Field::Header(name, value) => self.header(name, value),
            Field::Method(value) => once!(self, method, value),
            Field::Scheme(value) => once!(self, scheme, value),
            Field::Authority(value) => once!(self, authority, value),
            Field::Path(value) => once!(self, path, value),
            Field::Status(value) => once!(self, status, value),
            Field::Protocol(value) => once!(self, protocol, value),
            Field::Malformed(_) => self.bad("field"),
        }
    }
}

/// Whether HTTP/2 forbids this field (section 8.2.2).
fn forbidden(name: &HeaderName, value: &HeaderValue) -> Option<Malformed> {
    if connection_specific(name) {
        return Some("connection_header");
    }
    (*name == header::TE && value.as_bytes() != b"trailers").then_some("te")
}

/// Whether a field belongs to one connection of HTTP/1.1 and not to a message.
pub(crate) fn connection_specific(name: &HeaderName) -> bool {
    let text = name.as_str();
    match text.len() {
        7 => *name == header::UPGRADE,
        10 => *name == header::CONNECTION || text == "keep-alive",
        16 => text == "proxy-connection",
        17 => *name == header::TRANSFER_ENCODING,
        _ => false,
    }
}

/// A decimal number without signs or spaces.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
