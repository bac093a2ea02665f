//! Heads of requests.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Version};

use super::fields::{Coding, Fields};
use super::{
    RawFields, Scan, check_parsed, consume, fault, is_partial, is_worth, room, skip_empty_lines,
    target,
};
use crate::decode::Framing;
use crate::error::Fault;
use crate::limits::{FIELDS, Limits};

/// A request's head, and what it means for the connection.
pub(crate) struct RequestHead {
    pub(crate) request: Request<()>,
    pub(crate) framing: Framing,
    /// The client would go on with this connection.
    pub(crate) keep: bool,
    /// The client waits for 100 (Continue) before it sends the body.
    pub(crate) expects_continue: bool,
}

/// Take a whole head off the front of `input`, with empty lines before it; `None`: read more.
///
/// `scan` is kept between calls for one head.
pub(crate) fn read_request(
    input: &mut Bytes,
    scan: &mut Scan,
    limits: &Limits,
) -> Result<Option<RequestHead>, Fault> {
    if !skip_empty_lines(input, scan)? || !is_worth(input, scan, limits)? {
        return Ok(None);
    }
    let mut raw: RawFields<'_> = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(input, room(&mut raw, limits));
    let httparse::Status::Complete(end) = status.map_err(|error| fault(error, input))? else {
        return is_partial(input, scan, limits).map(|()| None);
    };
    check_parsed(
        input.get(..end).unwrap_or_default(),
        parsed.headers.len(),
        limits,
    )?;
    let head = understand(input, &parsed, limits)?;
    consume(input, end, scan);
    Ok(Some(head))
}

fn understand(
    head: &Bytes,
    parsed: &httparse::Request<'_, '_>,
    limits: &Limits,
) -> Result<RequestHead, Fault> {
    let (Some(method), Some(path), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Fault::StartLine);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::StartLine)?;
    let target = target::read(&method, head.slice_ref(path.as_bytes()), limits)?;
    let mut fields = Fields::read(head, parsed.headers)?;
    settle_host(
        &mut fields,
        target.authority.as_ref().map(|name| name.as_str()),
        version,
    )?;
    let framing = framing(&fields, &method, version, limits)?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = target.uri;
    *request.version_mut() = if version == 1 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    // After a body it would not be clear what belongs to the new protocol.
    if fields.options.upgrade && (version == 0 || framing != Framing::Empty) {
        fields.headers.remove(header::UPGRADE);
    }
    *request.headers_mut() = fields.headers;
    Ok(RequestHead {
        request,
        framing,
        keep: fields.options.keeps(version),
        expects_continue: fields.expects_continue && version == 1 && framing != Framing::Empty,
    })
}

/// RFC 9112, section 3.2: one host, valid, and that of an absolute target.
fn settle_host(fields: &mut Fields, authority: Option<&str>, version: u8) -> Result<(), Fault> {
    let host = if fields.has_host {
        fields.headers.get(header::HOST)
    } else {
        None
    };
    match (host, authority) {
        (None, _) if version == 1 => Err(Fault::HostMissing),
        (None, None) => Ok(()),
        (None, Some(authority)) => {
            let host = HeaderValue::from_str(authority).map_err(|_| Fault::Target)?;
            fields.headers.insert(header::HOST, host);
            Ok(())
        }
        (Some(host), _) if !target::is_host(host.as_bytes()) => Err(Fault::HostValue),
        (Some(host), Some(authority)) if !target::agrees(authority, host.as_bytes()) => {
            Err(Fault::HostMismatch)
        }
        (Some(_), _) => Ok(()),
    }
}

/// RFC 9112, section 6.3, without any of its leniency.
fn framing(
    fields: &Fields,
    method: &Method,
    version: u8,
    limits: &Limits,
) -> Result<Framing, Fault> {
    let framing = match (fields.coding, fields.length) {
        (Some(_), Some(_)) => return Err(Fault::LengthAndCoding),
        (Some(_), None) if version == 0 => return Err(Fault::CodingVersion),
        (Some(Coding::Exact), None) => Framing::Chunked,
        (Some(_), None) => return Err(Fault::CodingUnknown),
        (None, Some(length)) if limits.max_body.is_some_and(|max| length > max) => {
            return Err(Fault::BodySize);
        }
        (None, None | Some(0)) => Framing::Empty,
        (None, Some(length)) => Framing::Length(length),
    };
    if *method == Method::CONNECT && framing != Framing::Empty {
        return Err(Fault::ConnectBody);
    }
    Ok(framing)
}
