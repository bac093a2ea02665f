//! The target of a request (RFC 9112, section 3.2) and the host it has to agree with.

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri};

use crate::error::Fault;
use crate::limits::Limits;

/// A target in the form we pass on, and the authority it named if it was in absolute form.
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) authority: Option<Authority>,
}

/// Read the target of a request with this method.
pub(crate) fn read(method: &Method, raw: Bytes, limits: &Limits) -> Result<Target, Fault> {
    if raw.len() > limits.max_target {
        return Err(Fault::TargetSize);
    }
    if raw.iter().any(|byte| *byte == b'#' || *byte >= 0x7f) {
        return Err(Fault::Target);
    }
    if *method == Method::CONNECT {
        return connect(raw);
    }
    match raw.first() {
        Some(b'/') => {}
        Some(b'*') if *method == Method::OPTIONS && raw.len() == 1 => {}
        Some(b'*') | None => return Err(Fault::Target),
        Some(_) => return absolute(method, raw),
    }
    let uri = Uri::from_maybe_shared(raw).map_err(|_| Fault::Target)?;
    Ok(Target {
        uri,
        authority: None,
    })
}

/// The authority form: host and port, nothing else.
fn connect(raw: Bytes) -> Result<Target, Fault> {
    let authority = Authority::from_maybe_shared(raw).map_err(|_| Fault::Target)?;
    if authority.port_u16().is_none() || !is_host(authority.as_str().as_bytes()) {
        return Err(Fault::Target);
    }
    Ok(Target {
        uri: Uri::from(authority.clone()),
        authority: Some(authority),
    })
}

/// The absolute form becomes the origin form; its authority has to be the host.
fn absolute(method: &Method, raw: Bytes) -> Result<Target, Fault> {
    let uri = Uri::from_maybe_shared(raw).map_err(|_| Fault::Target)?;
    let parts = uri.into_parts();
    let known = parts
        .scheme
        .is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https"));
    let authority = parts
        .authority
        .filter(|authority| is_host(authority.as_str().as_bytes()));
    let (true, Some(authority)) = (known, authority) else {
        return Err(Fault::Target);
    };
    let path = match parts.path_and_query {
        Some(path) if *method == Method::OPTIONS && path == "/" => path,
        Some(path) if path.as_str().starts_with('?') => {
            PathAndQuery::try_from(format!("/{path}")).map_err(|_| Fault::Target)?
        }
        Some(path) => path,
        None => PathAndQuery::from_static("/"),
    };
    Ok(Target {
        uri: Uri::from(path),
        authority: Some(authority),
    })
}

/// Whether it is a host and perhaps a port, without user information.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value {
        [b'[', ..] => match value.iter().position(|byte| *byte == b']') {
            Some(end) => {
                let (name, rest) = value.split_at(end + 1);
                let inner = name.get(1..end).unwrap_or_default();
                if inner.is_empty() || !inner.iter().all(|byte| is_literal(*byte)) {
                    return false;
                }
                match rest {
                    [] => return true,
                    [b':', port @ ..] => (name, port),
                    _ => return false,
                }
            }
            None => return false,
        },
        _ => match value.iter().position(|byte| *byte == b':') {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => return !value.is_empty() && value.iter().all(|byte| is_name(*byte)),
        },
    };
    let named = matches!(name, [b'[', ..]) || name.iter().all(|byte| is_name(*byte));
    !name.is_empty() && named && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":.-_~%".contains(&byte)
}

/// Whether two authorities are the same; a port that the scheme implies may be left out.
pub(crate) fn agrees(authority: &str, host: &[u8]) -> bool {
    fn bare(value: &[u8]) -> &[u8] {
        value
            .strip_suffix(b":80")
            .or(value.strip_suffix(b":443"))
            .unwrap_or(value)
    }
    let authority = authority.as_bytes();
    authority.eq_ignore_ascii_case(host)
        || bare(authority).eq_ignore_ascii_case(host)
        || authority.eq_ignore_ascii_case(bare(host))
}
