//! Tests of the state and the reader without a network: frames in, events and octets out.

mod chunks;
mod floods;
mod rules;

use bytes::Bytes;
use tokio::io::DuplexStream;

use crate::config::Config;
use crate::frame::{Head, PREFACE, kind};
use crate::hpack::{Encoder, Pseudo};
use crate::io::Conn;
use crate::state::{Role, State};

/// Octets of a connection, as a client or server would send them.
pub(crate) struct Wire {
    pub(crate) octets: Vec<u8>,
    encoder: Encoder,
}

impl Wire {
    /// Preface and SETTINGS of a client.
    pub(crate) fn client() -> Self {
        let mut wire = Self {
            octets: PREFACE.to_vec(),
            encoder: Encoder::new(),
        };
        wire.frame(kind::SETTINGS, 0, 0, &[]);
        wire
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let head = Head {
            length: payload.len() as u32,
            kind,
            flags,
            stream,
        };
        self.octets.extend_from_slice(&head.octets());
        self.octets.extend_from_slice(payload);
        self
    }

    /// The block of a request with these further fields.
    pub(crate) fn block(&mut self, method: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        self.encoder
            .pseudo(&mut block, Pseudo::Method, method.as_bytes());
        self.encoder.fixed(&mut block, 6);
        self.encoder.pseudo(&mut block, Pseudo::Path, b"/path");
        self.encoder
            .pseudo(&mut block, Pseudo::Authority, b"example.com");
        literals(&mut block, fields);
        block
    }

    pub(crate) fn request(&mut self, stream: u32, end: bool, fields: &[(&str, &str)]) -> &mut Self {
        let block = self.block("POST", fields);
        self.frame(kind::HEADERS, 4 | u8::from(end), stream, &block)
    }

    pub(crate) fn reset(&mut self, stream: u32) -> &mut Self {
        self.frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
    }
}

/// Fields without compression, also forbidden ones.
pub(crate) fn literals(block: &mut Vec<u8>, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
}

/// A server's reader on nothing; its input is given by hand.
pub(crate) fn reader(config: Config) -> Conn<DuplexStream> {
    let (io, _) = tokio::io::duplex(16);
    Conn::new(io, State::new(Role::Server, config), Bytes::new())
}

/// What a server says to these octets: the cause of its end, or "".
pub(crate) fn verdict(config: Config, octets: &[u8]) -> &'static str {
    let mut conn = reader(config);
    match conn.feed(octets) {
        Ok(()) => "",
        Err(fatal) => fatal.cause,
    }
}
