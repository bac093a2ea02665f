//! Bodies as they come in: which bytes belong to one, and where it ends.

use bytes::Bytes;

use crate::chunked::{Chunked, Step, take};
use crate::error::{Error, Fault};
use crate::limits::Limits;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, or its length; never `Length(0)`.
    Empty,
    Length(u64),
    Chunked,
    /// It ends with the connection (responses only).
    Close,
}

/// The body that is being read.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// Complete.
    Done,
    Length(u64),
    /// With the bytes it may still have.
    Chunked(Chunked, u64),
    Close,
}

impl Decoder {
    /// A chunked body has `most` bytes at most, or is a fault.
    pub(crate) fn new(framing: Framing, most: Option<u64>) -> Self {
        match framing {
            Framing::Empty | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default(), most.unwrap_or(u64::MAX)),
            Framing::Close => Self::Close,
        }
    }

    /// Whether the whole body was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Bytes still to come, when it is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(..) | Self::Close => None,
        }
    }

    /// Take the next piece out of `input`; after the end always [`Step::End`].
    pub(crate) fn step(&mut self, input: &mut Bytes, limits: &Limits) -> Result<Step, Fault> {
        let step = match self {
            Self::Done => Step::End,
            Self::Length(_) | Self::Close if input.is_empty() => Step::More,
            Self::Close => Step::Data(take(input, u64::MAX)),
            Self::Length(left) => {
                let data = take(input, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                return Ok(Step::Data(data));
            }
            Self::Chunked(chunked, most) => {
                let step = chunked.step(input, limits)?;
                if let Step::Data(data) = &step {
                    let size = data.len() as u64;
                    *most = most.checked_sub(size).ok_or(Fault::BodySize)?;
                    if chunked.ends(input) {
                        // Its end is here: whoever asks `is_done` need not come back for it.
                        chunked.step(input, limits)?;
                        *self = Self::Done;
                    }
                }
                step
            }
        };
        if matches!(step, Step::End | Step::Trailers(_)) {
            *self = Self::Done;
        }
        Ok(step)
    }

    /// What the end of the connection means for the body: only a body that runs to it is whole.
    pub(crate) fn at_eof(&mut self) -> Result<(), Error> {
        match self {
            Self::Done => Ok(()),
            Self::Close => {
                *self = Self::Done;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(..) => Err(Error::Truncated),
        }
    }
}
