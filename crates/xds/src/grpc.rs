//! gRPC's framing: length-prefixed messages in the body, a status at its end.
//!
//! Specification: gRPC over HTTP/2 (PROTOCOL-HTTP2). Compression is neither asked for nor accepted.
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;

/// Length of a message's prefix: a flag and four bytes of length.
const PREFIX: usize = 5;

/// What is not gRPC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrpcError {
    #[error("a message of {0} bytes is above max_message_bytes")]
    TooLarge(u32),
    #[error("a compressed message, which was not asked for")]
    Compressed,
    #[error("HTTP status {0}")]
    Http(u16),
    #[error("gRPC status {code}{}{message}", if .message.is_empty() { "" } else { ": " })]
    Status { code: String, message: String },
    #[error("the server ended the stream")]
    Ended,
}

/// One message with its prefix.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + message.len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}

/// Puts messages together from chunks of a body.
#[derive(Debug)]
pub struct Deframer {
    buffer: BytesMut,
    most: u32,
}

impl Deframer {
    /// Messages of at most `most` bytes.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            buffer: BytesMut::new(),
            most,
        }
    }

    /// Takes a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole message. The buffer's memory goes with it when nothing is left.
    ///
    /// # Errors
    /// A message that is compressed or too large.
    pub fn message(&mut self) -> Result<Option<Bytes>, GrpcError> {
        let Some((&[flag, a, b, c, d], _)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > self.most {
            return Err(GrpcError::TooLarge(length));
        }
        if flag != 0 {
            return Err(GrpcError::Compressed);
        }
        let length = length as usize;
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let message = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(message))
    }
}

/// Why a stream ended, from its trailers (or headers, when there was no body).
#[must_use]
pub fn ending(trailers: Option<&HeaderMap>) -> GrpcError {
    let text = |name: &str| {
        let value = trailers.and_then(|all| all.get(name))?;
        Some(decoded(value.as_bytes()))
    };
    match text("grpc-status") {
        None => GrpcError::Ended,
        Some(code) if code == "0" => GrpcError::Ended,
        Some(code) => GrpcError::Status {
            code,
            message: text("grpc-message").unwrap_or_default(),
        },
    }
}

/// Percent-decoded text without control characters, of bounded length.
fn decoded(value: &[u8]) -> String {
    let mut out = Vec::new();
    let mut rest = value.get(..2048).unwrap_or(value);
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        rest = after;
        if byte == b'%'
            && let Some((&[high, low], beyond)) = after.split_first_chunk()
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            out.push((high * 16 + low) as u8);
            rest = beyond;
        } else {
            out.push(byte);
        }
    }
    let text = String::from_utf8_lossy(&out);
    text.chars().filter(|c| !c.is_control()).take(512).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            size in 1_usize..40,
        ) {
            let body: Vec<u8> = messages.iter().flat_map(|one| frame(one)).collect();
            let mut deframer = Deframer::new(100);
            let mut found = Vec::new();
            for chunk in body.chunks(size) {
                deframer.push(chunk);
                while let Some(message) = deframer.message().unwrap() {
                    found.push(message.to_vec());
                }
            }
            prop_assert_eq!(found, messages);
        }
    }

    #[test]
    fn what_is_too_large_or_compressed_is_refused() {
        let mut deframer = Deframer::new(10);
        deframer.push(&[0, 0, 0, 0, 11]);
        assert_eq!(deframer.message(), Err(GrpcError::TooLarge(11)));
        let mut deframer = Deframer::new(10);
        deframer.push(&[1, 0, 0, 0, 1, 0]);
        assert_eq!(deframer.message(), Err(GrpcError::Compressed));
    }

    #[test]
    fn the_status_says_why() {
        let mut trailers = HeaderMap::new();
        assert_eq!(ending(Some(&trailers)), GrpcError::Ended);
        trailers.insert("grpc-status", http::HeaderValue::from_static("7"));
        trailers.insert(
            "grpc-message",
            http::HeaderValue::from_static("not%20you%zz"),
        );
        assert_eq!(
            ending(Some(&trailers)).to_string(),
            "gRPC status 7: not you%zz"
        );
    }
}
