//! The options of a connection, the same for both ends.

use std::time::Duration;

use crate::Allowances;
use crate::frame::{FIRST_WINDOW, MIN_MAX_FRAME};

/// What this end allows and wants; the builders fill it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) window: u32,
    pub(crate) connection_window: u32,
    pub(crate) max_streams: Option<u32>,
    pub(crate) max_header_list: u32,
    pub(crate) max_frame: u32,
    pub(crate) header_table: u32,
    pub(crate) connect_protocol: bool,
    pub(crate) send_buffer: usize,
    pub(crate) first_max_streams: u32,
    pub(crate) allowances: Allowances,
    pub(crate) keep_alive: Option<KeepAlive>,
}

/// Ping an idle connection, and end it where no answer comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    pub(crate) idle: Duration,
    pub(crate) timeout: Duration,
    /// Only while streams are open.
    pub(crate) with_streams_only: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: FIRST_WINDOW,
            connection_window: FIRST_WINDOW,
            max_streams: Some(100),
            max_header_list: 64 * 1024,
            max_frame: MIN_MAX_FRAME,
            header_table: 4096,
            connect_protocol: false,
            send_buffer: 64 * 1024,
            first_max_streams: 100,
            allowances: Allowances::default(),
            keep_alive: None,
        }
    }
}

/// The setters that both builders have.
macro_rules! setters {
    () => {
        /// Octets of a body that the peer may send on one stream before the application has
        /// read them (SETTINGS_INITIAL_WINDOW_SIZE; 65,535 at first, 2^31 − 1 at most).
        pub fn initial_window_size(&mut self, octets: u32) -> &mut Self {
            self.config.window = octets.min(crate::frame::MAX_WINDOW);
            self
        }

        /// The same for all streams of the connection together; at least 65,535.
        pub fn initial_connection_window_size(&mut self, octets: u32) -> &mut Self {
            let range = crate::frame::FIRST_WINDOW..=crate::frame::MAX_WINDOW;
            self.config.connection_window = octets.clamp(*range.start(), *range.end());
            self
        }

        /// Octets of the fields of one message, as RFC 9113 section 6.5.2 counts them (65,536).
        pub fn max_header_list_size(&mut self, octets: u32) -> &mut Self {
            self.config.max_header_list = octets;
            self
        }

        /// Octets of the largest frame that the peer may send (16,384 to 16,777,215).
        pub fn max_frame_size(&mut self, octets: u32) -> &mut Self {
            let range = crate::frame::MIN_MAX_FRAME..=crate::frame::MAX_MAX_FRAME;
            self.config.max_frame = octets.clamp(*range.start(), *range.end());
            self
        }

        /// Octets of the peer's compression table (SETTINGS_HEADER_TABLE_SIZE; 4,096).
        pub fn header_table_size(&mut self, octets: u32) -> &mut Self {
            self.config.header_table = octets.min(1 << 20);
            self
        }

        /// Octets that one stream may have waiting to be sent (65,536): the most that
        /// [`crate::SendStream::capacity`] says.
        pub fn max_send_buffer_size(&mut self, octets: usize) -> &mut Self {
            self.config.send_buffer = octets;
            self
        }

        /// How much noise of each kind a peer may make (resets, pings, …).
        pub fn allowances(&mut self, allowances: crate::Allowances) -> &mut Self {
            self.config.allowances = allowances;
            self
        }

        /// Ping after `idle` without a frame from the peer; end the connection where nothing
        /// comes within `timeout` of that. Needs a runtime with timers.
        pub fn keep_alive(
            &mut self,
            idle: std::time::Duration,
            timeout: std::time::Duration,
        ) -> &mut Self {
            self.config.keep_alive = Some(crate::config::KeepAlive {
                idle,
                timeout,
                with_streams_only: false,
            });
            self
        }

        /// Ping only while streams are open.
        pub fn keep_alive_with_streams_only(&mut self, only: bool) -> &mut Self {
            if let Some(keep_alive) = &mut self.config.keep_alive {
                keep_alive.with_streams_only = only;
            }
            self
        }
    };
}
pub(crate) use setters;
