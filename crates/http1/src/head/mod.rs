//! Heads: finding where one ends, reading it by the rules of RFC 9112, writing it canonically.

mod fields;
mod names;
mod request;
mod response;
mod target;
mod write;

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use memchr::memchr_iter;

use crate::error::Fault;
use crate::limits::{FIELDS, Limits};

pub(crate) use fields::trailers;
pub(crate) use request::{RequestHead, read_request};
pub(crate) use response::read_response;
pub(crate) use write::{Keep, Outgoing, write_request, write_response, write_trailers};

/// Empty lines a peer may send before a start line (RFC 9112, section 2.2, asks for one).
const EMPTY_LINES: u8 = 4;

type RawFields<'b> = [MaybeUninit<httparse::Header<'b>>; FIELDS];

/// The first of so many fields the limits allow, to parse into.
fn room<'a, 'b>(
    fields: &'a mut RawFields<'b>,
    limits: &Limits,
) -> &'a mut [MaybeUninit<httparse::Header<'b>>] {
    let count = limits.max_fields.min(FIELDS);
    fields.get_mut(..count).unwrap_or_default()
}

/// Where the head at the front of `input` ends: past its empty line.
///
/// `scanned` is how far earlier calls came, so that a head in many pieces is read once.
/// A line that ends with LF alone is an error at once.
pub(crate) fn find_end(input: &[u8], scanned: &mut usize) -> Result<Option<usize>, Fault> {
    let from = *scanned;
    for found in memchr_iter(b'\n', input.get(from..).unwrap_or_default()) {
        let at = from + found;
        let before = input.get(..at).unwrap_or_default();
        if before.last() != Some(&b'\r') {
            return Err(Fault::BareLf);
        }
        if before.ends_with(b"\r\n\r") {
            *scanned = 0;
            return Ok(Some(at + 1));
        }
    }
    *scanned = input.len();
    Ok(None)
}

/// How far a head in several pieces was looked at.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    at: usize,
    empty_lines: u8,
}

/// Skip empty lines before a start line; whether there is anything after them.
fn skip_empty_lines(input: &mut Bytes, scan: &mut Scan) -> Result<bool, Fault> {
    while input.starts_with(b"\r\n") {
        scan.empty_lines += 1;
        if scan.empty_lines > EMPTY_LINES {
            return Err(Fault::EmptyLines);
        }
        input.advance(2);
    }
    match input.first() {
        Some(b'\n') => Err(Fault::BareLf),
        Some(b'\r') if input.len() == 1 => Ok(false),
        first => Ok(first.is_some()),
    }
}

/// Whether it is worth parsing: not when an earlier try found no end and there still is none.
fn is_worth(input: &Bytes, scan: &mut Scan, limits: &Limits) -> Result<bool, Fault> {
    if scan.at == 0 || find_end(input, &mut scan.at)?.is_some() {
        return Ok(true);
    }
    check_size(input, limits)?;
    Ok(false)
}

/// The parser wants more: so it must, and within limits.
fn is_partial(input: &Bytes, scan: &mut Scan, limits: &Limits) -> Result<(), Fault> {
    if find_end(input, &mut scan.at)?.is_some() {
        return Err(Fault::StartLine);
    }
    check_size(input, limits)
}

fn check_size(head: &[u8], limits: &Limits) -> Result<(), Fault> {
    if head.len() <= limits.max_head {
        return Ok(());
    }
    // The method and the version are the rest of the line.
    let longest = limits.max_target + 64;
    let line = memchr::memchr(b'\n', head);
    Err(if line.is_none_or(|line| line > longest) {
        Fault::TargetSize
    } else {
        Fault::HeadSize
    })
}

/// Check what the parser does not: the size, and that no line ends with LF alone.
///
/// It takes CR only before LF, so there has to be one for each line it saw.
fn check_parsed(head: &[u8], fields: usize, limits: &Limits) -> Result<(), Fault> {
    check_size(head, limits)?;
    if memchr_iter(b'\r', head).count() == fields + 2 {
        Ok(())
    } else {
        Err(Fault::BareLf)
    }
}

/// Take what was parsed off the front.
fn consume(input: &mut Bytes, end: usize, scan: &mut Scan) {
    *scan = Scan::default();
    if end == input.len() {
        *input = Bytes::new();
    } else {
        input.advance(end);
    }
}

/// What an error of the parser means for a head.
fn fault(error: httparse::Error, head: &[u8]) -> Fault {
    match error {
        httparse::Error::TooManyHeaders => Fault::FieldCount,
        httparse::Error::HeaderName if is_folded(head) => Fault::FieldFold,
        httparse::Error::HeaderName => Fault::FieldName,
        httparse::Error::HeaderValue => Fault::FieldValue,
        httparse::Error::Version if has_version(head) => Fault::Version,
        _ => Fault::StartLine,
    }
}

fn is_folded(head: &[u8]) -> bool {
    head.windows(3)
        .any(|three| matches!(three, b"\r\n " | b"\r\n\t"))
}

/// Whether the start line is well formed and of a version of HTTP, if not one of ours.
fn has_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    matches!(words.next(), Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit())
        && words.next().is_none()
}

/// An empty map with room for so many fields.
fn map(count: usize) -> HeaderMap {
    HeaderMap::with_capacity(count)
}
