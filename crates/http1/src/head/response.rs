//! Heads of responses.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{Method, Response, StatusCode, Version};

use super::fields::{Coding, Fields};
use super::{
    RawFields, Scan, check_parsed, consume, fault, is_partial, is_worth, room, skip_empty_lines,
};
use crate::decode::Framing;
use crate::error::Fault;
use crate::limits::{FIELDS, Limits};

/// A response's head, and what it means for the connection.
pub(crate) struct ResponseHead {
    pub(crate) response: Response<()>,
    pub(crate) framing: Framing,
    /// The server would go on with this connection.
    pub(crate) keep: bool,
}

/// Take a whole head off the front of `input` that answers a request with this method;
/// `None`: read more.
pub(crate) fn read_response(
    input: &mut Bytes,
    scan: &mut Scan,
    method: &Method,
    limits: &Limits,
) -> Result<Option<ResponseHead>, Fault> {
    if !skip_empty_lines(input, scan)? || !is_worth(input, scan, limits)? {
        return Ok(None);
    }
    let mut raw: RawFields<'_> = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        input,
        room(&mut raw, limits),
    );
    let httparse::Status::Complete(end) = status.map_err(|error| fault(error, input))? else {
        return is_partial(input, scan, limits).map(|()| None);
    };
    check_parsed(
        input.get(..end).unwrap_or_default(),
        parsed.headers.len(),
        limits,
    )?;
    let head = understand(input, &parsed, method)?;
    consume(input, end, scan);
    Ok(Some(head))
}

fn understand(
    head: &Bytes,
    parsed: &httparse::Response<'_, '_>,
    method: &Method,
) -> Result<ResponseHead, Fault> {
    let (Some(version), Some(code)) = (parsed.version, parsed.code) else {
        return Err(Fault::StartLine);
    };
    let status = StatusCode::from_u16(code).map_err(|_| Fault::StartLine)?;
    let fields = Fields::read(head, parsed.headers)?;
    let framing = framing(&fields, method, status, version)?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = if version == 1 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    *response.headers_mut() = fields.headers;
    let keep = fields.options.keeps(version) && framing != Framing::Close;
    Ok(ResponseHead {
        response,
        framing,
        keep,
    })
}

/// RFC 9112, section 6.3; both framings, or a coding we do not read, are refused.
fn framing(
    fields: &Fields,
    method: &Method,
    status: StatusCode,
    version: u8,
) -> Result<Framing, Fault> {
    let tunnel = *method == Method::CONNECT && status.is_success();
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(match (fields.coding, fields.length) {
        (Some(_), Some(_)) => return Err(Fault::LengthAndCoding),
        (Some(_), None) if version == 0 => return Err(Fault::CodingVersion),
        (Some(Coding::Unknown), None) => return Err(Fault::CodingUnknown),
        _ if tunnel || bodiless || *method == Method::HEAD => Framing::Empty,
        (Some(_), None) => Framing::Chunked,
        (None, Some(0)) => Framing::Empty,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::Close,
    })
}
