//! Frames that carry streams: HEADERS, CONTINUATION, DATA.

use bytes::Bytes;

use super::floods::Noise;
use super::stream::{Event, Key, Recv, UNKNOWN};
use super::{Role, State};
use crate::error::Fatal;
use crate::frame::{self, Head, flag, kind};
use crate::message::Gather;
use crate::{Initiator, Reason};

/// A header block whose end has not come.
#[derive(Debug)]
pub(super) struct Partial {
    stream: u32,
    end_stream: bool,
    self_dependent: bool,
    block: Vec<u8>,
    frames: u32,
}

/// A payload as the reader has it.
pub(crate) enum Payload<'a> {
    /// In the read buffer, which will be used again.
    Borrowed(&'a [u8]),
    /// Cut out of the read buffer.
    Owned(Bytes),
}

impl Payload<'_> {
    fn octets(&self) -> &[u8] {
        match self {
            Self::Borrowed(octets) => octets,
            Self::Owned(octets) => octets,
        }
    }

    fn slice(self, from: usize, to: usize) -> Bytes {
        match self {
            Self::Borrowed(octets) => Bytes::copy_from_slice(&octets[from..to]),
            Self::Owned(octets) => octets.slice(from..to),
        }
    }
}

impl State {
    /// Take one frame, whose length is within the limit.
    pub(crate) fn frame(&mut self, head: Head, payload: Payload<'_>) -> Result<(), Fatal> {
        if self.partial.is_some() && head.kind != kind::CONTINUATION {
            return Err(Fatal::protocol("expected_continuation"));
        }
        if !self.peer.known && head.kind != kind::SETTINGS {
            return Err(Fatal::protocol("expected_settings"));
        }
        if head.kind == kind::DATA {
            return self.data(head, payload);
        }
        let payload = payload.octets();
        match head.kind {
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::RST_STREAM => self.peer_reset(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.peer_go_away(head, payload),
            kind::PRIORITY => self.priority(head, payload),
            kind::PUSH_PROMISE => Err(Fatal::protocol("push_promise")),
            _ => self.floods.count(Noise::Empty),
        }
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream == 0 {
            return Err(Fatal::protocol("headers_on_stream_0"));
        }
        let (mut from, to) = frame::unpadded(&head, payload).ok_or(Fatal::protocol("padding"))?;
        let mut self_dependent = false;
        if head.has(flag::PRIORITY) {
            let on = frame::number(&payload[from..to]).ok_or(Fatal::size("headers_size"))?;
            self_dependent = on & frame::MAX_WINDOW == head.stream;
            from += 5;
        }
        let block = payload.get(from..to).ok_or(Fatal::size("headers_size"))?;
        let end_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, end_stream, self_dependent, block);
        }
        self.partial = Some(Partial {
            stream: head.stream,
            end_stream,
            self_dependent,
            block: block.to_vec(),
            frames: 0,
        });
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        let limit = self.config.max_header_list as usize;
        let mut partial = match self.partial.take() {
            Some(partial) if partial.stream == head.stream => partial,
            _ => return Err(Fatal::protocol("unexpected_continuation")),
        };
        partial.frames += 1;
        // Compressed fields are hardly ever larger than what they stand for.
        let most = limit / frame::MIN_MAX_FRAME as usize + 16;
        if partial.block.len() + payload.len() > limit || partial.frames as usize > most {
            return Err(Fatal::flood("continuation_flood"));
        }
        partial.block.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            self.partial = Some(partial);
            return Ok(());
        }
        let Partial {
            stream,
            end_stream,
            self_dependent,
            block,
            ..
        } = partial;
        self.block(stream, end_stream, self_dependent, &block)
    }

    /// A whole header block: it changes the compression state whatever becomes of it.
    fn block(
        &mut self,
        id: u32,
        end: bool,
        self_dependent: bool,
        block: &[u8],
    ) -> Result<(), Fatal> {
        let mut gather = Gather::new(self.config.max_header_list);
        self.decoder.decode(block, &mut gather).map_err(|_| Fatal {
            reason: Reason::COMPRESSION_ERROR,
            cause: "hpack",
        })?;
        if let Some((key, stream)) = self.streams.find(id) {
            let recv = stream.recv;
            if self_dependent {
                return self.refuse(key, Reason::PROTOCOL_ERROR, "self_dependency");
            }
            return match (recv, self.role) {
                (Recv::Ended, _) => self.refuse(key, Reason::STREAM_CLOSED, "stream_closed"),
                (Recv::Head, Role::Client) => self.response(key, end, gather),
                _ => self.trailers(key, end, gather),
            };
        }
        if self.role == Role::Server && id > self.last_peer {
            return self.open(id, end, self_dependent, gather);
        }
        self.unknown(id, kind::HEADERS)
    }

    fn trailers(&mut self, key: Key, end: bool, gather: Gather) -> Result<(), Fatal> {
        let oversize = gather.oversize;
        let trailers = match gather.trailers() {
            Ok(trailers) if end && !oversize => trailers,
            Ok(_) if oversize => {
                return self.refuse(key, Reason::PROTOCOL_ERROR, "trailers_too_large");
            }
            Ok(_) => return self.refuse(key, Reason::PROTOCOL_ERROR, "trailers_without_end"),
            Err(cause) => return self.refuse(key, Reason::PROTOCOL_ERROR, cause),
        };
        let Some(stream) = self.streams.get(key) else {
            return Ok(());
        };
        if !stream.count(0, true) {
            return self.refuse(key, Reason::PROTOCOL_ERROR, "content_length");
        }
        stream.recv = Recv::Ended;
        if !stream.discard {
            stream.events.push(Event::Trailers(Box::new(trailers)));
        }
        stream.wake_recv();
        self.maybe_close(key);
        Ok(())
    }

    fn response(&mut self, key: Key, end: bool, gather: Gather) -> Result<(), Fatal> {
        let (length, oversize) = (gather.content_length(), gather.oversize);
        if oversize {
            return self.refuse(key, Reason::PROTOCOL_ERROR, "headers_too_large");
        }
        let response = match gather.response() {
            Ok(response) => response,
            Err(cause) => return self.refuse(key, Reason::PROTOCOL_ERROR, cause),
        };
        let status = response.status();
        let Some(stream) = self.streams.get(key) else {
            return Ok(());
        };
        if status.is_informational() {
            stream.informational = stream.informational.saturating_add(1);
            if end || status == http::StatusCode::SWITCHING_PROTOCOLS {
                return self.refuse(key, Reason::PROTOCOL_ERROR, "informational");
            }
            if stream.informational > 16 {
                return self.refuse(key, Reason::ENHANCE_YOUR_CALM, "informational_flood");
            }
            stream.events.push(Event::Informational(Box::new(response)));
            stream.wake_recv();
            return Ok(());
        }
        let bodiless = stream.head_request || status.as_u16() == 204 || status.as_u16() == 304;
        stream.expected = match length {
            _ if bodiless => 0,
            Some(length) => length,
            None => UNKNOWN,
        };
        if end && !bodiless && !stream.count(0, true) {
            return self.refuse(key, Reason::PROTOCOL_ERROR, "content_length");
        }
        stream.recv = if end { Recv::Ended } else { Recv::Body };
        stream.events.push(Event::Response(Box::new(response)));
        stream.wake_recv();
        self.maybe_close(key);
        Ok(())
    }

    fn data(&mut self, head: Head, payload: Payload<'_>) -> Result<(), Fatal> {
        if head.stream == 0 {
            return Err(Fatal::protocol("data_on_stream_0"));
        }
        let (from, to) =
            frame::unpadded(&head, payload.octets()).ok_or(Fatal::protocol("padding"))?;
        let (whole, length) = (head.length, (to - from) as u32);
        self.recv_window -= i64::from(whole);
        if self.recv_window < 0 {
            return Err(Fatal::flow("connection_window"));
        }
        let end = head.has(flag::END_STREAM);
        if length == 0 && !end {
            self.floods.count(Noise::Empty)?;
        }
        let Some((key, stream)) = self.streams.find(head.stream) else {
            self.release_connection(whole);
            return self.unknown(head.stream, kind::DATA);
        };
        stream.recv_window -= i64::from(whole);
        let fault = match stream.recv {
            Recv::Ended => Some((Reason::STREAM_CLOSED, "stream_closed")),
            Recv::Head => Some((Reason::PROTOCOL_ERROR, "data_before_head")),
            Recv::Body if stream.recv_window < 0 => {
                Some((Reason::FLOW_CONTROL_ERROR, "stream_window"))
            }
            Recv::Body => None,
        };
        let fault = match fault {
            None if !stream.count(u64::from(length), end) => {
                Some((Reason::PROTOCOL_ERROR, "content_length"))
            }
            other => other,
        };
        if let Some((reason, cause)) = fault {
            self.release_connection(whole);
            return self.refuse(key, reason, cause);
        }
        if end {
            stream.recv = Recv::Ended;
        }
        let kept = if stream.discard { 0 } else { length };
        stream.held += kept;
        if kept > 0 {
            stream.events.push(Event::Data(payload.slice(from, to)));
        }
        if kept > 0 || end {
            stream.wake_recv();
        }
        // Nobody will give back the padding, or what nobody reads.
        stream.released += whole - kept;
        self.release_connection(whole - kept);
        self.announce(key);
        if end {
            self.maybe_close(key);
        }
        Ok(())
    }

    /// The peer broke a rule on this stream.
    pub(super) fn refuse(
        &mut self,
        key: Key,
        reason: Reason,
        cause: &'static str,
    ) -> Result<(), Fatal> {
        self.reset(key, reason, Initiator::Library, cause);
        self.floods.count(Noise::Reset)
    }
}
