//! Frames as octets (RFC 9113 sections 4 and 6): heads, flags, and the small ones written whole.

use crate::Reason;

/// Octets of a frame's head.
pub(crate) const HEAD: usize = 9;
/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The smallest legal and the first SETTINGS_MAX_FRAME_SIZE.
pub(crate) const MIN_MAX_FRAME: u32 = 1 << 14;
/// The largest legal SETTINGS_MAX_FRAME_SIZE.
pub(crate) const MAX_MAX_FRAME: u32 = (1 << 24) - 1;
/// The largest window.
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;
/// The window that both ends begin with.
pub(crate) const FIRST_WINDOW: u32 = 65_535;

/// Types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    /// The head at the beginning of `input`, once it is there whole.
    #[inline]
    pub(crate) fn parse(input: &[u8]) -> Option<Self> {
        let octets: &[u8; HEAD] = input.first_chunk()?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *octets;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    #[inline]
    pub(crate) fn octets(&self) -> [u8; HEAD] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s0, s1, s2, s3]
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The first four octets as a number.
#[inline]
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|octets| u32::from_be_bytes(*octets))
}

fn small(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let head = Head {
        length: payload.len() as u32,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.octets());
    out.extend_from_slice(payload);
}

/// Append a RST_STREAM.
pub(crate) fn reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    small(
        out,
        kind::RST_STREAM,
        0,
        stream,
        &u32::from(reason).to_be_bytes(),
    );
}

/// Append a WINDOW_UPDATE.
pub(crate) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    small(
        out,
        kind::WINDOW_UPDATE,
        0,
        stream,
        &increment.to_be_bytes(),
    );
}

/// Append a PING.
pub(crate) fn ping(out: &mut Vec<u8>, ack: bool, payload: [u8; 8]) {
    small(out, kind::PING, u8::from(ack), 0, &payload);
}

/// Append a GOAWAY.
pub(crate) fn go_away(out: &mut Vec<u8>, last: u32, reason: Reason, debug: &[u8]) {
    let mut payload = Vec::with_capacity(8 + debug.len());
    payload.extend_from_slice(&last.to_be_bytes());
    payload.extend_from_slice(&u32::from(reason).to_be_bytes());
    payload.extend_from_slice(debug);
    small(out, kind::GOAWAY, 0, 0, &payload);
}

/// Append a SETTINGS frame with these parameters.
pub(crate) fn settings(out: &mut Vec<u8>, parameters: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(parameters.len() * 6);
    for (id, value) in parameters {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    small(out, kind::SETTINGS, 0, 0, &payload);
}

/// Append the acknowledgement of SETTINGS.
pub(crate) fn settings_ack(out: &mut Vec<u8>) {
    small(out, kind::SETTINGS, flag::ACK, 0, &[]);
}

/// The payload without its padding; `None` where the padding is longer than the payload.
pub(crate) fn unpadded(head: &Head, payload: &[u8]) -> Option<(usize, usize)> {
    if !head.has(flag::PADDED) {
        return Some((0, payload.len()));
    }
    let padding = usize::from(*payload.first()?);
    let end = payload.len().checked_sub(padding)?;
    (end >= 1).then_some((1, end))
}
