//! Frames about the connection: SETTINGS, PING, PRIORITY, and windows from the peer.

use super::State;
use super::floods::Noise;
use crate::error::Fatal;
use crate::frame::{self, Head, MAX_WINDOW, flag, kind};
use crate::{Initiator, Reason};

impl State {
    pub(super) fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream != 0 {
            return Err(Fatal::protocol("settings_on_stream"));
        }
        if head.has(flag::ACK) {
            return match payload {
                [] => Ok(()),
                _ => Err(Fatal::size("settings_ack_size")),
            };
        }
        self.floods.count(Noise::Settings)?;
        let (window, first) = (self.peer.window, !self.peer.known);
        let from_server = self.role == super::Role::Client;
        self.peer.take(payload, from_server)?;
        self.encoder.set_limit(self.peer.header_table as usize);
        let change = i64::from(self.peer.window) - i64::from(window);
        if change != 0 {
            self.shift_windows(change)?;
        }
        frame::settings_ack(&mut self.out.frames);
        if from_server || first {
            self.wake_openers();
        }
        Ok(())
    }

    /// The first window changed: it holds for the streams that are open, too.
    fn shift_windows(&mut self, change: i64) -> Result<(), Fatal> {
        for key in self.streams.keys() {
            let Some(stream) = self.streams.get(key).filter(|stream| !stream.closed) else {
                continue;
            };
            stream.send_window += change;
            if stream.send_window > i64::from(MAX_WINDOW) {
                return Err(Fatal::flow("settings_window"));
            }
            if change > 0 {
                self.window_opened(key);
            }
        }
        Ok(())
    }

    pub(super) fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream != 0 {
            return Err(Fatal::protocol("ping_on_stream"));
        }
        let payload: [u8; 8] = payload.try_into().map_err(|_| Fatal::size("ping_size"))?;
        if head.has(flag::ACK) {
            self.pong(payload);
            return Ok(());
        }
        self.floods.count(Noise::Ping)?;
        frame::ping(&mut self.out.frames, true, payload);
        Ok(())
    }

    pub(super) fn priority(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream == 0 {
            return Err(Fatal::protocol("priority_on_stream_0"));
        }
        self.floods.count(Noise::Empty)?;
        let fault = match frame::number(payload) {
            Some(on) if payload.len() == 5 && on & MAX_WINDOW != head.stream => return Ok(()),
            Some(_) if payload.len() == 5 => (Reason::PROTOCOL_ERROR, "self_dependency"),
            _ => (Reason::FRAME_SIZE_ERROR, "priority_size"),
        };
        self.fault(head.stream, fault.0, fault.1)
    }

    /// A stream's fault, whether the stream is open or not.
    fn fault(&mut self, id: u32, reason: Reason, cause: &'static str) -> Result<(), Fatal> {
        match self.streams.find(id) {
            Some((key, _)) => {
                self.reset(key, reason, Initiator::Library, cause);
                self.floods.count(Noise::Reset)
            }
            // A reset of a stream that was never opened would be an error of ours.
            None => Err(Fatal { reason, cause }),
        }
    }

    pub(super) fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        let increment = match frame::number(payload) {
            Some(increment) if payload.len() == 4 => increment & MAX_WINDOW,
            _ => return Err(Fatal::size("window_update_size")),
        };
        self.floods.count(Noise::Window)?;
        if head.stream == 0 {
            if increment == 0 {
                return Err(Fatal::protocol("window_update_0"));
            }
            self.send_window += i64::from(increment);
            if self.send_window > i64::from(MAX_WINDOW) {
                return Err(Fatal::flow("connection_window"));
            }
            self.wake_queue();
            return Ok(());
        }
        let Some((key, stream)) = self.streams.find(head.stream) else {
            return self.unknown(head.stream, kind::WINDOW_UPDATE);
        };
        stream.send_window += i64::from(increment);
        if increment == 0 {
            return self.refuse(key, Reason::PROTOCOL_ERROR, "window_update_0");
        }
        if stream.send_window > i64::from(MAX_WINDOW) {
            return self.refuse(key, Reason::FLOW_CONTROL_ERROR, "stream_window");
        }
        self.window_opened(key);
        Ok(())
    }
}
