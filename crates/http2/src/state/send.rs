//! What the application sends: heads, bodies and trailers into the write buffer.
//!
//! Frames are written where they are made; a body waits in its stream only while a window is
//! shut or the write buffer is full. Streams that wait take turns, one frame each.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};

use super::stream::{Key, Send};
use super::{Role, State};
use crate::Protocol;
use crate::error::Error;
use crate::frame::{self, HEAD, Head, flag, kind};
use crate::hpack::{Encoder, Pseudo};
use crate::message::connection_specific;

impl State {
    /// The head of the response.
    pub(crate) fn send_response(
        &mut self,
        key: Key,
        response: &Response<()>,
        end: bool,
    ) -> Result<(), Error> {
        self.sendable(key, Send::Head)?;
        self.write_block(key.id, end, |encoder, out| {
            status(encoder, out, response.status());
            headers(encoder, out, response.headers());
        });
        self.sent_head(key, end);
        Ok(())
    }

    /// A 1xx response in front of the response.
    pub(crate) fn send_informational(
        &mut self,
        key: Key,
        response: &Response<()>,
    ) -> Result<(), Error> {
        let status_code = response.status();
        if !status_code.is_informational() || status_code == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::user("not_informational"));
        }
        self.sendable(key, Send::Head)?;
        self.write_block(key.id, false, |encoder, out| {
            status(encoder, out, status_code);
            headers(encoder, out, response.headers());
        });
        self.notify();
        Ok(())
    }

    /// The head of a request on a stream that was just made.
    pub(super) fn write_request(&mut self, key: Key, request: &Request<()>, end: bool) {
        self.write_block(key.id, end, |encoder, out| {
            target(encoder, out, request);
            headers(encoder, out, request.headers());
        });
        self.sent_head(key, end);
    }

    fn sent_head(&mut self, key: Key, end: bool) {
        if let Some(stream) = self.streams.get(key) {
            stream.send = if end { Send::Ended } else { Send::Body };
        }
        self.notify();
        if end {
            self.maybe_close(key);
        }
    }

    /// A part of the body. It is sent at once where the windows allow it, and waits otherwise,
    /// however long it is: [`State::capacity`] says what should be given.
    pub(crate) fn send_data(&mut self, key: Key, data: Bytes, end: bool) -> Result<(), Error> {
        self.sendable(key, Send::Body)?;
        let high = self.out.is_high();
        let (connection, max) = (self.send_window, self.peer.max_frame as usize);
        let Some(stream) = self.streams.get(key) else {
            return Ok(());
        };
        let length = data.len();
        let room = stream.send_window.min(connection);
        self.notify();
        let Some(stream) = self.streams.get(key) else {
            return Ok(());
        };
        let fits = length <= max && (length as i64 <= room || length == 0);
        if fits && !high && stream.bodies.is_empty() {
            stream.send_window -= length as i64;
            self.send_window -= length as i64;
            if end {
                stream.send = Send::Ended;
            }
            self.write_data(key.id, data, end);
            if end {
                self.maybe_close(key);
            }
            return Ok(());
        }
        if end {
            stream.send = Send::Ending;
        }
        if length == 0 && !stream.bodies.is_empty() {
            // What waits already will carry the end.
            return Ok(());
        }
        stream.buffered += length;
        stream.bodies.push(data);
        self.buffered += length;
        self.join_round(key);
        Ok(())
    }

    /// The trailers, which end the message.
    pub(crate) fn send_trailers(&mut self, key: Key, trailers: HeaderMap) -> Result<(), Error> {
        self.sendable(key, Send::Body)?;
        self.notify();
        if let Some(stream) = self.streams.get(key)
            && !stream.bodies.is_empty()
        {
            stream.send = Send::Ending;
            stream.trailers = Some(Box::new(trailers));
            return Ok(());
        }
        self.write_trailers(key, &trailers);
        Ok(())
    }

    fn write_trailers(&mut self, key: Key, trailers: &HeaderMap) {
        self.write_block(key.id, true, |encoder, out| headers(encoder, out, trailers));
        if let Some(stream) = self.streams.get(key) {
            stream.send = Send::Ended;
        }
        self.maybe_close(key);
    }

    /// Move bodies from their streams into the write buffer, as far as windows allow.
    pub(crate) fn pump(&mut self) {
        while !self.out.is_high() {
            let Some(key) = self.round.pop_front() else {
                return;
            };
            if let Some(stream) = self.streams.get(key) {
                stream.in_round = false;
                if !stream.closed && !self.turn(key) {
                    // The connection's window is shut.
                    if let Some(stream) = self.streams.get(key) {
                        stream.in_round = true;
                    }
                    self.round.push_front(key);
                    return;
                }
            }
        }
    }

    /// One frame of one stream; false where the connection's window is shut.
    fn turn(&mut self, key: Key) -> bool {
        let (connection, max) = (self.send_window, i64::from(self.peer.max_frame));
        let Some(stream) = self.streams.get(key) else {
            return true;
        };
        let Some(body) = stream.bodies.front_mut() else {
            return true;
        };
        let room = stream.send_window.min(max);
        let length = room.min(connection).min(body.len() as i64).max(0);
        if length == 0 && !body.is_empty() {
            return room <= 0;
        }
        let part = body.split_to(length as usize);
        if body.is_empty() {
            stream.bodies.pop();
        }
        let done = stream.bodies.is_empty() && stream.send == Send::Ending;
        let trailers = if done { stream.trailers.take() } else { None };
        let end = done && trailers.is_none();
        stream.send_window -= length;
        stream.buffered -= part.len();
        self.send_window -= length;
        self.buffered -= part.len();
        if end {
            stream.send = Send::Ended;
        }
        self.write_data(key.id, part, end);
        if let Some(trailers) = trailers {
            self.write_trailers(key, &trailers);
        } else if end {
            self.maybe_close(key);
        } else {
            self.window_opened(key);
        }
        self.wake_queue();
        true
    }

    fn join_round(&mut self, key: Key) {
        if let Some(stream) = self.streams.get(key)
            && !std::mem::replace(&mut stream.in_round, true)
        {
            self.round.push_back(key);
        }
    }

    /// Whether the stream is where this may be sent.
    fn sendable(&mut self, key: Key, at: Send) -> Result<(), Error> {
        let stream = self.streams.get(key).ok_or(Error::user("no_stream"))?;
        if let Some(error) = &stream.error {
            return Err((**error).clone());
        }
        if stream.send == at {
            return Ok(());
        }
        Err(Error::user(match stream.send {
            Send::Head => "head_not_sent",
            Send::Body => "head_sent_already",
            Send::Ending | Send::Ended => "sent_already",
        }))
    }

    #[inline]
    fn write_data(&mut self, id: u32, data: Bytes, end: bool) {
        let head = Head {
            length: data.len() as u32,
            kind: kind::DATA,
            flags: u8::from(end),
            stream: id,
        };
        self.out.frames.extend_from_slice(&head.octets());
        self.out.body(data);
        self.floods.sent();
    }

    /// Write a header block in as many frames as it needs.
    #[inline]
    fn write_block(&mut self, id: u32, end: bool, fill: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let out = &mut self.out.frames;
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        self.encoder.begin(out);
        fill(&mut self.encoder, out);
        let length = out.len() - start - HEAD;
        let max = self.peer.max_frame as usize;
        let last = if length <= max { flag::END_HEADERS } else { 0 };
        let head = Head {
            length: length.min(max) as u32,
            kind: kind::HEADERS,
            flags: (u8::from(end) * flag::END_STREAM) | last,
            stream: id,
        };
        if let Some(place) = out.get_mut(start..start + HEAD) {
            place.copy_from_slice(&head.octets());
        }
        if length > max {
            continuations(out, start + HEAD + max, max, id);
        }
        self.floods.sent();
    }
}

/// Cut what stands behind `from` into CONTINUATION frames.
fn continuations(out: &mut Vec<u8>, from: usize, max: usize, id: u32) {
    let rest = out.split_off(from);
    let mut chunks = rest.chunks(max).peekable();
    while let Some(chunk) = chunks.next() {
        let last = chunks.peek().is_none();
        let head = Head {
            length: chunk.len() as u32,
            kind: kind::CONTINUATION,
            flags: u8::from(last) * flag::END_HEADERS,
            stream: id,
        };
        out.extend_from_slice(&head.octets());
        out.extend_from_slice(chunk);
    }
}

/// Write a response of the connection's own: a bare status that ends the stream.
impl State {
    pub(super) fn bare_status(&mut self, id: u32, code: StatusCode) {
        self.write_block(id, true, |encoder, out| status(encoder, out, code));
        debug_assert_eq!(self.role, Role::Server);
        frame::reset(&mut self.out.frames, id, crate::Reason::NO_ERROR);
    }
}

fn status(encoder: &mut Encoder, out: &mut Vec<u8>, status: StatusCode) {
    let index = match status.as_u16() {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => return encoder.pseudo(out, Pseudo::Status, status.as_str().as_bytes()),
    };
    encoder.fixed(out, index);
}

fn target(encoder: &mut Encoder, out: &mut Vec<u8>, request: &Request<()>) {
    let (method, uri) = (request.method(), request.uri());
    match method.as_str() {
        "GET" => encoder.fixed(out, 2),
        "POST" => encoder.fixed(out, 3),
        other => encoder.pseudo(out, Pseudo::Method, other.as_bytes()),
    }
    let protocol = request.extensions().get::<Protocol>();
    if *method != http::Method::CONNECT || protocol.is_some() {
        match uri.scheme_str() {
            Some("https") => encoder.fixed(out, 7),
            Some("http") | None => encoder.fixed(out, 6),
            Some(other) => encoder.pseudo(out, Pseudo::Scheme, other.as_bytes()),
        }
        match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
            Some("/") | Some("") | None => encoder.fixed(out, 4),
            Some(path) => encoder.pseudo(out, Pseudo::Path, path.as_bytes()),
        }
    }
    if let Some(authority) = uri.authority() {
        encoder.pseudo(out, Pseudo::Authority, authority.as_str().as_bytes());
    }
    if let Some(protocol) = protocol {
        encoder.protocol(out, protocol.as_str().as_bytes());
    }
}

/// Regular fields; those of a connection of HTTP/1.1 have no place here and are left out.
fn headers(encoder: &mut Encoder, out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if !connection_specific(name) {
            encoder.header(out, name, value);
        }
    }
}
