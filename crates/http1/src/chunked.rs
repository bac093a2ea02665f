//! Chunked bodies as they come in (RFC 9112, section 7.1), taken literally.

use bytes::{Buf, Bytes};
use http::HeaderMap;
use memchr::memchr;

use crate::error::Fault;
use crate::head;
use crate::limits::Limits;

/// Hexadecimal digits of a chunk size: 15 stay clear of an overflow.
const DIGITS: usize = 15;

/// The state of one chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    extensions: usize,
    scanned: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// What the next bytes of a body are.
#[derive(Debug)]
pub(crate) enum Step {
    /// A piece of it, never empty.
    Data(Bytes),
    /// The end, with trailer fields.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// More has to be read first.
    More,
}

impl Chunked {
    /// Take the next piece out of `input`.
    pub(crate) fn step(&mut self, input: &mut Bytes, limits: &Limits) -> Result<Step, Fault> {
        loop {
            match self.state {
                State::Size => match self.size(input, limits)? {
                    None => return Ok(Step::More),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(Step::More);
                    }
                    let data = take(input, left);
                    let left = left - data.len() as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Step::Data(data));
                }
                State::DataEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        input.advance(2);
                        self.state = State::Size;
                    }
                    Some(_) => return Err(Fault::ChunkEnd),
                    None if input.first().is_some_and(|byte| *byte != b'\r') => {
                        return Err(Fault::ChunkEnd);
                    }
                    None => return Ok(Step::More),
                },
                State::Trailers => return self.trailers(input, limits),
            }
        }
    }

    /// Whether what is in `input` already ends the body, without fields: saves a reader a poll.
    pub(crate) fn ends(&self, input: &Bytes) -> bool {
        match self.state {
            State::DataEnd => input.starts_with(b"\r\n0\r\n\r\n"),
            State::Trailers => input.starts_with(b"\r\n"),
            _ => false,
        }
    }

    fn size(&mut self, input: &mut Bytes, limits: &Limits) -> Result<Option<u64>, Fault> {
        let Some(end) = memchr(b'\n', input) else {
            let (digits, _) = digits(input)?;
            let rest = input.get(digits..).unwrap_or_default();
            return match rest.first() {
                None | Some(b'\r') if rest.len() <= 1 => Ok(None),
                Some(b';') if self.extensions + rest.len() <= limits.max_extensions => Ok(None),
                Some(b';') => Err(Fault::ChunkExtension),
                _ => Err(Fault::ChunkSize),
            };
        };
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").ok_or(Fault::BareLf)?;
        let (count, size) = digits(line)?;
        let extension = line.get(count..).unwrap_or_default();
        if count == 0 {
            return Err(Fault::ChunkSize);
        }
        if !extension.is_empty() {
            self.extension(extension, limits)?;
        }
        input.advance(end + 1);
        Ok(Some(size))
    }

    fn extension(&mut self, extension: &[u8], limits: &Limits) -> Result<(), Fault> {
        if extension.first() != Some(&b';') {
            return Err(Fault::ChunkSize);
        }
        self.extensions += extension.len();
        let clean = extension
            .iter()
            .all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 127));
        if !clean || self.extensions > limits.max_extensions {
            return Err(Fault::ChunkExtension);
        }
        Ok(())
    }

    fn trailers(&mut self, input: &mut Bytes, limits: &Limits) -> Result<Step, Fault> {
        if input.starts_with(b"\r\n") {
            input.advance(2);
            return Ok(Step::End);
        }
        match head::find_end(input, &mut self.scanned)? {
            None if input.len() > limits.max_trailers => Err(Fault::TrailerSize),
            None => Ok(Step::More),
            Some(end) if end > limits.max_trailers => Err(Fault::TrailerSize),
            Some(end) => {
                let section = input.split_to(end);
                Ok(Step::Trailers(head::trailers(&section, limits)?))
            }
        }
    }
}

/// The number of digits at the front and the size they give.
fn digits(line: &[u8]) -> Result<(usize, u64), Fault> {
    let mut size = 0_u64;
    let mut count = 0;
    for byte in line {
        let Some(digit) = (*byte as char).to_digit(16) else {
            break;
        };
        count += 1;
        size = size << 4 | u64::from(digit);
        if count > DIGITS {
            return Err(Fault::ChunkSize);
        }
    }
    Ok((count, size))
}

/// At most `left` bytes from the front of `input`, without a copy.
pub(crate) fn take(input: &mut Bytes, left: u64) -> Bytes {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    if count == input.len() {
        std::mem::take(input)
    } else {
        input.split_to(count)
    }
}
