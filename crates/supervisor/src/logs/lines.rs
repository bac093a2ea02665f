//! Bytes to CRI log lines: `2026-11-24T08:00:00.123456789Z stdout F text`. Pure.

/// A line longer than this is written in parts, tagged `P` but for the last.
pub const MAX_LINE: usize = 16 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const KEEP: usize = 1024;

/// Which of the two outputs a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Splits one stream; holds at most one unfinished line.
pub struct Splitter {
    prefix: &'static str,
    partial: Vec<u8>,
}

// === impl Splitter ===

impl Splitter {
    pub fn new(stream: Stream) -> Self {
        let prefix = match stream {
            Stream::Stdout => " stdout ",
            Stream::Stderr => " stderr ",
        };
        Self {
            prefix,
            partial: Vec::new(),
        }
    }

    /// Appends the lines that `data` completes to `out`, each with the time `stamp`.
    pub fn feed(&mut self, mut data: &[u8], stamp: &str, out: &mut Vec<u8>) {
        while let Some(end) = memchr::memchr(b'\n', data) {
            self.add(&data[..end], stamp, out);
            self.emit(b"F ", stamp, out);
            data = &data[end + 1..];
        }
        self.add(data, stamp, out);
        if self.partial.is_empty() && self.partial.capacity() > KEEP {
            self.partial = Vec::new();
        }
    }

    /// At the end of the stream: an unfinished line is written as a part, as it had no end.
    pub fn finish(&mut self, stamp: &str, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.emit(b"P ", stamp, out);
        }
    }

    fn add(&mut self, mut text: &[u8], stamp: &str, out: &mut Vec<u8>) {
        while self.partial.len() + text.len() > MAX_LINE {
            let (part, rest) = text.split_at(MAX_LINE - self.partial.len());
            self.partial.extend_from_slice(part);
            self.emit(b"P ", stamp, out);
            text = rest;
        }
        self.partial.extend_from_slice(text);
    }

    fn emit(&mut self, tag: &[u8], stamp: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(stamp.as_bytes());
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(tag);
        out.extend_from_slice(&self.partial);
        out.push(b'\n');
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader of the log gets back: full lines end in a newline, parts are joined.
    fn decode(log: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            let body = line.strip_prefix(b"T stdout ").expect("prefix");
            let body = body.strip_suffix(b"\n").expect("newline");
            match body.split_at(2) {
                (b"F ", rest) => {
                    text.extend_from_slice(rest);
                    text.push(b'\n');
                }
                (b"P ", rest) => text.extend_from_slice(rest),
                other => panic!("bad tag {other:?}"),
            }
        }
        text
    }

    #[test]
    fn tags_full_and_partial_lines() {
        let mut splitter = Splitter::new(Stream::Stderr);
        let mut out = Vec::new();
        splitter.feed(b"one\ntw", "T", &mut out);
        splitter.feed(b"o\n\nend", "T", &mut out);
        splitter.finish("T", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "T stderr F one\nT stderr F two\nT stderr F \nT stderr P end\n"
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let mut splitter = Splitter::new(Stream::Stdout);
        let mut out = Vec::new();
        splitter.feed(&[b'x'; MAX_LINE], "T", &mut out);
        assert!(out.is_empty());
        splitter.feed(b"\n", "T", &mut out);
        assert_eq!(out.len(), MAX_LINE + "T stdout F \n".len());
        assert_eq!(splitter.partial.len(), 0);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_reordered(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
                    (1usize..40_000).prop_map(|length| vec![b'a'; length]),
                ],
                0..12,
            )
        ) {
            let mut splitter = Splitter::new(Stream::Stdout);
            let mut out = Vec::new();
            for chunk in &chunks {
                splitter.feed(chunk, "T", &mut out);
                prop_assert!(splitter.partial.len() <= MAX_LINE);
            }
            splitter.finish("T", &mut out);
            prop_assert_eq!(decode(&out), chunks.concat());
            let longest = out.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
            prop_assert!(longest <= MAX_LINE + "T stdout F ".len());
        }
    }
}
