//! SETTINGS (RFC 9113 section 6.5, RFC 8441 section 3).

use crate::error::Fatal;
use crate::frame::{FIRST_WINDOW, MAX_MAX_FRAME, MAX_WINDOW, MIN_MAX_FRAME};

/// Identifiers of the parameters.
pub(crate) mod id {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// What the peer said of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) header_table: u32,
    pub(crate) max_streams: u32,
    pub(crate) window: u32,
    pub(crate) max_frame: u32,
    pub(crate) max_header_list: u32,
    pub(crate) connect_protocol: bool,
    /// Whether its SETTINGS have come.
    pub(crate) known: bool,
}

impl Peer {
    /// What holds before its SETTINGS come; `max_streams` is our guess.
    pub(crate) fn new(max_streams: u32) -> Self {
        Self {
            header_table: 4096,
            max_streams,
            window: FIRST_WINDOW,
            max_frame: MIN_MAX_FRAME,
            max_header_list: u32::MAX,
            connect_protocol: false,
            known: false,
        }
    }

    /// Take the parameters of one SETTINGS frame.
    pub(crate) fn take(&mut self, payload: &[u8], from_server: bool) -> Result<(), Fatal> {
        let (parameters, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Fatal::size("settings_size"));
        }
        if !self.known {
            // No limit unless it says one (RFC 9113 section 6.5.2).
            self.max_streams = u32::MAX;
            self.known = true;
        }
        for [a, b, c, d, e, f] in parameters {
            let value = u32::from_be_bytes([*c, *d, *e, *f]);
            self.parameter(u16::from_be_bytes([*a, *b]), value, from_server)?;
        }
        Ok(())
    }

    fn parameter(&mut self, id: u16, value: u32, from_server: bool) -> Result<(), Fatal> {
        match id {
            id::HEADER_TABLE_SIZE => self.header_table = value,
            id::ENABLE_PUSH if value > 1 || (from_server && value == 1) => {
                return Err(Fatal::protocol("settings_enable_push"));
            }
            id::MAX_CONCURRENT_STREAMS => self.max_streams = value,
            id::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                return Err(Fatal::flow("settings_window"));
            }
            id::INITIAL_WINDOW_SIZE => self.window = value,
            id::MAX_FRAME_SIZE if !(MIN_MAX_FRAME..=MAX_MAX_FRAME).contains(&value) => {
                return Err(Fatal::protocol("settings_max_frame"));
            }
            id::MAX_FRAME_SIZE => self.max_frame = value,
            id::MAX_HEADER_LIST_SIZE => self.max_header_list = value,
            id::ENABLE_CONNECT_PROTOCOL if value > 1 => {
                return Err(Fatal::protocol("settings_connect_protocol"));
            }
            id::ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
            _ => {}
        }
        Ok(())
    }
}
