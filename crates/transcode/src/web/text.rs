//! base64 that comes in pieces: any cut, and padding also in the middle, since each message may
//! have been encoded on its own.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

/// Not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotBase64;

/// Decodes a stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The letters of a group of four that is not whole yet.
    kept: Vec<u8>,
}

impl Decoder {
    /// Decodes what is whole and keeps the rest.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<Bytes, NotBase64> {
        let whole = (self.kept.len() + chunk.len()) / 4 * 4;
        let mut letters = std::mem::take(&mut self.kept);
        letters.extend_from_slice(chunk);
        self.kept = letters.split_off(whole);
        let mut out = BytesMut::with_capacity(whole / 4 * 3);
        // Padding ends a group, not the stream.
        let mut rest = &letters[..];
        while !rest.is_empty() {
            let pad = rest.iter().position(|letter| *letter == b'=');
            let end = pad.map_or(rest.len(), |at| (at / 4 + 1) * 4);
            let (run, after) = rest.split_at_checked(end).ok_or(NotBase64)?;
            out.extend_from_slice(&STANDARD.decode(run).map_err(|_| NotBase64)?);
            rest = after;
        }
        Ok(out.freeze())
    }

    /// Whether the stream may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Encodes a piece on its own, so that no byte waits for the next one.
pub(super) fn encode(piece: &[u8]) -> Bytes {
    STANDARD.encode(piece).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrong_letters_and_ends_are_seen() {
        assert_eq!(Decoder::default().feed(b"A?AA"), Err(NotBase64));
        assert_eq!(Decoder::default().feed(b"A=AA"), Err(NotBase64));
        let mut decoder = Decoder::default();
        assert_eq!(decoder.feed(b"AAA"), Ok(Bytes::new()));
        assert!(!decoder.is_whole());
    }

    proptest! {
        #[test]
        fn comes_out_as_it_went_in_however_it_is_cut(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            cuts in prop::collection::vec(1usize..9, 1..20),
        ) {
            let text: Vec<u8> = pieces.iter().flat_map(|piece| encode(piece)).collect();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            let mut rest = &text[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                got.extend(decoder.feed(now).unwrap());
                rest = later;
            }
            prop_assert!(decoder.is_whole());
            prop_assert_eq!(got, pieces.concat());
        }

        #[test]
        fn any_text_does_no_harm(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _result = Decoder::default().feed(&text);
        }
    }
}
