//! The messages of gRPC on the wire: one byte of flags, four of length, the message.
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Flag: the message is compressed (by what `grpc-encoding` says).
pub const COMPRESSED: u8 = 0x01;
/// Flag of gRPC-Web: not a message but the trailers.
pub const TRAILERS: u8 = 0x80;
/// Bytes before each message.
pub const PREFIX: usize = 5;

/// What a stream of messages may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message above the limit.
    #[error("a message of {length} bytes is above the limit of {limit}")]
    TooLong {
        /// What its prefix says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The stream ends within a message.
    #[error("the stream ends within a message")]
    Truncated,
}

/// One message, or the trailers of gRPC-Web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// [`COMPRESSED`], [`TRAILERS`].
    pub flags: u8,
    /// The message.
    pub payload: Bytes,
}

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Frames {
    buffer: BytesMut,
    limit: usize,
}

impl Frames {
    /// Messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// Takes bytes as they came.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.buffer.is_empty() {
            // Without a copy if nobody else holds the chunk.
            self.buffer = chunk.into();
        } else {
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next whole message. None: more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], as soon as the prefix is there.
    pub fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((flags, length)) = prefix(&self.buffer) else {
            return Ok(None);
        };
        if length > self.limit {
            let limit = self.limit;
            return Err(FrameError::TooLong { length, limit });
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let payload = self.buffer.split_to(length).freeze();
        Ok(Some(Frame { flags, payload }))
    }

    /// Checks that the stream ends here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }
}

fn prefix(bytes: &[u8]) -> Option<(u8, usize)> {
    let [flags, length @ ..] = bytes.first_chunk::<PREFIX>()?;
    Some((*flags, u32::from_be_bytes(*length) as usize))
}

/// The first message of a stream, if it is whole and not compressed: for rules that look at a
/// field of it ([`FieldPath::get`](crate::field::FieldPath::get)). Nothing is copied.
pub fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    match prefix(bytes)? {
        (0, length) => bytes.get(PREFIX..PREFIX + length),
        _ => None,
    }
}

/// Puts a message with its prefix at the end of `out`. A message has less than 4 GiB.
pub fn put(out: &mut BytesMut, flags: u8, payload: &[u8]) {
    out.reserve(PREFIX + payload.len());
    out.put_u8(flags);
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_messages_are_refused_by_their_prefix() {
        let mut frames = Frames::new(10);
        frames.feed(Bytes::from_static(&[0, 0, 0, 0, 11]));
        let error = FrameError::TooLong {
            length: 11,
            limit: 10,
        };
        assert_eq!(frames.take(), Err(error));
    }

    #[test]
    fn looks_at_the_first_message_only_if_it_is_whole_and_plain() {
        assert_eq!(first_message(&[0, 0, 0, 0, 2, 7, 8, 9]), Some(&[7, 8][..]));
        assert_eq!(first_message(&[0, 0, 0, 0, 2, 7]), None);
        assert_eq!(first_message(&[1, 0, 0, 0, 1, 7]), None);
        assert_eq!(first_message(&[0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn comes_out_as_it_went_in_however_it_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8),
            cuts in prop::collection::vec(1usize..30, 1..40),
        ) {
            let mut all = BytesMut::new();
            for message in &messages {
                put(&mut all, 0, message);
            }
            let mut rest = all.freeze();
            let mut frames = Frames::new(100);
            let mut got = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                frames.feed(rest.split_to((*cut).min(rest.len())));
                while let Some(frame) = frames.take().unwrap() {
                    got.push(frame.payload.to_vec());
                }
            }
            prop_assert_eq!(got, messages);
            prop_assert!(frames.finish().is_ok());
        }
    }
}
