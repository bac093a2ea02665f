//! The frames between the proxy and the host. `src/cloudwright/proxy/host/wire.py` describes them
//! and is the other side. Pure: bytes in, bytes out; the parser takes anything.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, Version, request};

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 4;
const ACK: u8 = 5;
const ANNOUNCE: u8 = 16;
const CONTINUE: u8 = 17;
const RESPOND: u8 = 18;
const CHUNK: u8 = 19;
const LOST: u8 = 20;

/// More calls of this exchange follow.
pub const KEEP: u8 = 1;
/// No body follows, or this is its last piece.
pub const LAST: u8 = 2;
/// The piece is of the response's body.
pub const ANSWERING: u8 = 4;
/// No answer is wanted.
pub const SILENT: u8 = 8;

/// The largest frame that the host may send: an answer of 1 MiB and its headers.
pub const FRAME_AT_MOST: usize = 4 << 20;
/// The largest frame that the host takes.
pub const CALL_AT_MOST: usize = 1 << 20;

/// A frame that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Its length is 0 or too large.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// It ends early.
    #[error("a frame that is cut off")]
    CutOff,
    /// Its kind is not known.
    #[error("a frame of kind {0}")]
    Kind(u8),
}

/// What every call begins with.
#[derive(Debug, Clone, Copy)]
pub struct CallHead<'a> {
    /// The exchange.
    pub exchange: u64,
    /// CLOCK_MONOTONIC in nanoseconds, after which the answer is useless; 0: never.
    pub deadline: u64,
    /// `KEEP`, `LAST`, `ANSWERING`, `SILENT`.
    pub flags: u8,
    /// Filters to run, at most 64.
    pub filters: &'a [u32],
}

/// Where a request comes from, as filters see it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Whether it came by TLS.
    pub https: bool,
    /// The name of the chosen route.
    pub route: &'a str,
    /// The verified identity (SPIFFE), empty without mTLS.
    pub identity: &'a str,
}

/// Append the call about a request's head; false (and nothing appended) when it is too large.
#[must_use]
pub fn request(
    out: &mut Vec<u8>,
    call: CallHead<'_>,
    parts: &request::Parts,
    origin: &Origin<'_>,
) -> bool {
    let start = begin(out, REQUEST, call);
    out.push(match parts.version {
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        Version::HTTP_3 => 30,
        _ => 11,
    });
    out.push(u8::from(origin.https));
    let lengths = out.len();
    out.extend_from_slice(&[0; 9]);
    let method = parts.method.as_str().as_bytes();
    out.extend_from_slice(method);
    let mut mark = out.len();
    let mut measure = |out: &Vec<u8>| {
        let length = out.len() - mark;
        mark = out.len();
        length
    };
    match (parts.uri.authority(), parts.headers.get(HOST)) {
        (Some(authority), _) => out.extend_from_slice(authority.as_str().as_bytes()),
        (None, Some(host)) => out.extend_from_slice(host.as_bytes()),
        (None, None) => {}
    }
    let authority = measure(out);
    match parts.uri.path_and_query() {
        Some(target) => out.extend_from_slice(target.as_str().as_bytes()),
        None => out.push(b'*'),
    }
    let target = measure(out);
    write_origin(out, origin);
    let origin = measure(out);
    let (Ok(method), Ok(authority), Ok(target), Ok(origin)) = (
        u8::try_from(method.len()),
        u16::try_from(authority),
        u32::try_from(target),
        u16::try_from(origin),
    ) else {
        out.truncate(start);
        return false;
    };
    let mut numbers = [0; 9];
    numbers[0] = method;
    numbers[1..3].copy_from_slice(&authority.to_le_bytes());
    numbers[3..7].copy_from_slice(&target.to_le_bytes());
    numbers[7..9].copy_from_slice(&origin.to_le_bytes());
    if let Some(place) = out.get_mut(lengths..lengths + 9) {
        place.copy_from_slice(&numbers);
    }
    write_headers(out, &parts.headers);
    finish(out, start)
}

/// Append the call about a response's head; false (and nothing appended) when it is too large.
#[must_use]
pub fn response(out: &mut Vec<u8>, call: CallHead<'_>, status: u16, headers: &HeaderMap) -> bool {
    let start = begin(out, RESPONSE, call);
    out.extend_from_slice(&status.to_le_bytes());
    write_headers(out, headers);
    finish(out, start)
}

/// Append the call about a piece of a body; false (and nothing appended) when it is too large.
#[must_use]
pub fn body(out: &mut Vec<u8>, call: CallHead<'_>, chunk: &[u8]) -> bool {
    let start = begin(out, BODY, call);
    out.extend_from_slice(chunk);
    finish(out, start)
}

/// Append the end of an exchange.
pub fn end(out: &mut Vec<u8>, exchange: u64) {
    out.extend_from_slice(&9_u32.to_le_bytes());
    out.push(END);
    out.extend_from_slice(&exchange.to_le_bytes());
}

/// Append the acknowledgement of an announcement.
pub fn ack(out: &mut Vec<u8>) {
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.push(ACK);
}

fn begin(out: &mut Vec<u8>, kind: u8, call: CallHead<'_>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(&call.exchange.to_le_bytes());
    out.extend_from_slice(&call.deadline.to_le_bytes());
    out.push(call.flags);
    out.push(u8::try_from(call.filters.len()).unwrap_or(u8::MAX));
    for filter in call.filters {
        out.extend_from_slice(&filter.to_le_bytes());
    }
    start
}

fn finish(out: &mut Vec<u8>, start: usize) -> bool {
    let length = out.len() - start - 4;
    match (u32::try_from(length), out.get_mut(start..start + 4)) {
        (Ok(number), Some(place)) if length <= CALL_AT_MOST => {
            place.copy_from_slice(&number.to_le_bytes());
            true
        }
        _ => {
            out.truncate(start);
            false
        }
    }
}

fn write_origin(out: &mut Vec<u8>, origin: &Origin<'_>) {
    use std::io::Write as _;

    if origin.client.is_none() && origin.route.is_empty() && origin.identity.is_empty() {
        return;
    }
    if let Some(client) = origin.client {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{client}");
    }
    for text in [origin.route, origin.identity] {
        out.push(b'\n');
        out.extend_from_slice(text.as_bytes());
    }
}

fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    out.push(b'\n');
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
}

/// How one filter of a chain fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The filter's id.
    pub filter: u32,
    /// What came of it.
    pub result: FilterResult,
    /// Time in its hook.
    pub nanoseconds: u32,
    /// Why it failed.
    pub message: &'a [u8],
}

/// What came of one filter's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterResult {
    /// It returned.
    Done,
    /// It raised.
    Failed,
    /// It took too long.
    TimedOut,
    /// It answered the request.
    Responded,
}

/// What the host answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Go on with these operations.
    Continue(&'a [u8]),
    /// Answer: status, headers, body.
    Respond(&'a [u8]),
    /// A piece of a body.
    Chunk(&'a [u8]),
    /// The host knows nothing of this exchange, or looked at the call too late.
    Lost,
}

/// A frame of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Its filters, as JSON.
    Announce(&'a [u8]),
    /// The answer to a call.
    Answer {
        /// The exchange.
        exchange: u64,
        /// Whether the call was about the response.
        answering: bool,
        /// One for each filter that ran.
        outcomes: Outcomes<'a>,
        /// The answer.
        reply: Reply<'a>,
    },
}

/// Outcomes that are decoded while they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes<'a>(&'a [u8]);

impl<'a> Iterator for Outcomes<'a> {
    type Item = Outcome<'a>;

    fn next(&mut self) -> Option<Outcome<'a>> {
        take_outcome(&mut self.0)
    }
}

/// The first whole frame of `bytes` and its length; `None` when more bytes are needed.
///
/// # Errors
/// What is there is no frame.
pub fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if length == 0 || length > FRAME_AT_MOST {
        return Err(FrameError::Length(length));
    }
    let Some(content) = rest.get(..length) else {
        return Ok(None);
    };
    Ok(Some((parse_content(content)?, 4 + length)))
}

fn parse_content(content: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (kind, rest) = content.split_first().ok_or(FrameError::CutOff)?;
    if *kind == ANNOUNCE {
        return Ok(Frame::Announce(rest));
    }
    if !(CONTINUE..=LOST).contains(kind) {
        return Err(FrameError::Kind(*kind));
    }
    let (exchange, rest) = rest.split_first_chunk::<8>().ok_or(FrameError::CutOff)?;
    let ([side, count], rest) = rest.split_first_chunk::<2>().ok_or(FrameError::CutOff)?;
    let mut after = rest;
    for _ in 0..*count {
        take_outcome(&mut after).ok_or(FrameError::CutOff)?;
    }
    let outcomes = rest.get(..rest.len() - after.len()).unwrap_or_default();
    Ok(Frame::Answer {
        exchange: u64::from_le_bytes(*exchange),
        answering: *side != 0,
        outcomes: Outcomes(outcomes),
        reply: match *kind {
            CONTINUE => Reply::Continue(after),
            RESPOND => Reply::Respond(after),
            CHUNK => Reply::Chunk(after),
            _ => Reply::Lost,
        },
    })
}

fn take_outcome<'a>(bytes: &mut &'a [u8]) -> Option<Outcome<'a>> {
    let (head, mut rest) = bytes.split_first_chunk::<9>()?;
    let [f0, f1, f2, f3, result, t0, t1, t2, t3] = *head;
    let result = match result {
        0 => FilterResult::Done,
        1 => FilterResult::Failed,
        2 => FilterResult::TimedOut,
        _ => FilterResult::Responded,
    };
    let mut message: &[u8] = b"";
    if matches!(result, FilterResult::Failed | FilterResult::TimedOut) {
        let (length, text) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        (message, rest) = text.split_at_checked(length)?;
    }
    *bytes = rest;
    Some(Outcome {
        filter: u32::from_le_bytes([f0, f1, f2, f3]),
        result,
        nanoseconds: u32::from_le_bytes([t0, t1, t2, t3]),
        message,
    })
}

#[cfg(test)]
#[path = "protocol_test.rs"]
mod tests;
