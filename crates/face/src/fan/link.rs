//! The connection of one watch of HTTP/1.1, taken over from the HTTP server once its head is out:
//! chunks go from the shared bytes into TLS and to the socket, with nothing in between.
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read as _, Write},
    net::TcpStream,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use rustls::ServerConnection;
use tokio::sync::oneshot;

use super::framed::{Framed, LAST};
use crate::{counts::Open, initial::Initial, stream::Stream};

/// What a client may send ahead, while it watches: its next request, not more.
const AHEAD_MAX: usize = 64 << 10;

/// A connection that is given from one to another, between two pieces of its body.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub socket: TcpStream,
    pub session: ServerConnection,
    /// Received and decrypted, not yet looked at.
    pub ahead: BytesMut,
}

/// A carrier, the watch on it, and where the connection goes when the watch has ended in order.
#[derive(Debug)]
pub(crate) struct Handed {
    pub stream: Arc<Stream>,
    pub carrier: Carrier,
    pub open: Option<Arc<Open>>,
    pub back: oneshot::Sender<Carrier>,
}

/// How far a write came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The rest waits for the client.
    Waits,
    /// Too much waits already.
    Full,
}

/// One buffer is sent as such: a vector costs the kernel more.
struct Direct<'a>(&'a TcpStream);

impl Write for Direct<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn write_vectored(&mut self, data: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match data {
            [one] => self.0.write(one),
            many => self.0.write_vectored(many),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    carrier: Carrier,
    initial: Option<Box<Initial>>,
    /// Chunks; of the first one, what is not yet encrypted.
    queue: VecDeque<Bytes>,
    /// The first one is not whole any more: it must be sent to its end.
    begun: bool,
    bytes: usize,
    ended: bool,
    back: oneshot::Sender<Carrier>,
    _open: Option<Arc<Open>>,
}

impl Link {
    /// Takes over, with what the stream still has to send.
    pub fn new(handed: Handed) -> Self {
        let rest = handed.stream.rest();
        let mut link = Self {
            carrier: handed.carrier,
            initial: rest.initial,
            queue: VecDeque::new(),
            begun: false,
            bytes: 0,
            ended: false,
            back: handed.back,
            _open: handed.open,
        };
        for piece in rest.queue.iter().filter(|piece| !piece.is_empty()) {
            link.push(Framed::one(piece).chunk);
        }
        if rest.ended {
            link.finish();
        }
        link
    }

    #[cfg(test)]
    pub fn has_received(&self) -> bool {
        !self.carrier.ahead.is_empty()
    }

    pub fn socket(&self) -> &TcpStream {
        &self.carrier.socket
    }

    /// Sends a chunk, or queues it within the limits. An error: the client is gone.
    pub fn send(&mut self, chunk: &Bytes, pieces_max: usize, bytes_max: usize) -> io::Result<Sent> {
        if self.queue.is_empty() && self.initial.is_none() && !self.carrier.session.wants_write() {
            let written = self.carrier.session.writer().write(chunk)?;
            if written < chunk.len() {
                self.push(chunk.slice(written..));
                self.begun = true;
            }
            return self.flush();
        }
        if self.queue.len() >= pieces_max || self.bytes + chunk.len() > bytes_max {
            return Ok(Sent::Full);
        }
        self.push(chunk.clone());
        Ok(Sent::Waits)
    }

    /// Sends what waits, and `last`, then ends the body; `drop_waiting`: only `last`.
    pub fn end(&mut self, last: Option<&Framed>, drop_waiting: bool) -> io::Result<Sent> {
        if drop_waiting {
            self.initial = None;
            self.queue.truncate(usize::from(self.begun));
            self.bytes = self.queue.iter().map(Bytes::len).sum();
        }
        if let Some(framed) = last {
            self.push(framed.chunk.clone());
        }
        self.finish();
        self.flush()
    }

    /// Whether everything was sent, to the end of the body.
    pub fn done(&self) -> bool {
        self.ended
            && self.initial.is_none()
            && self.queue.is_empty()
            && !self.carrier.session.wants_write()
    }

    /// Gives the connection back, for the client's next request.
    pub fn give_back(self) {
        // Nobody takes it when the server stops.
        let _ = self.back.send(self.carrier);
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.queue.push_back(chunk);
    }

    fn finish(&mut self) {
        if !self.ended {
            self.ended = true;
            self.push(LAST);
        }
    }

    /// Writes until everything is out or the socket is full. An error: the client is gone.
    pub fn flush(&mut self) -> io::Result<Sent> {
        loop {
            while self.carrier.session.wants_write() {
                match self
                    .carrier
                    .session
                    .write_tls(&mut Direct(&self.carrier.socket))
                {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Sent::Waits),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if !self.begun {
                self.draw();
            }
            let Some(first) = self.queue.front_mut() else {
                // An idle watch keeps no room of an earlier burst.
                self.queue = VecDeque::new();
                return Ok(Sent::All);
            };
            let written = self.carrier.session.writer().write(first)?;
            self.bytes -= written;
            self.begun = written < first.len();
            if self.begun {
                let _ = first.split_to(written);
            } else {
                self.queue.pop_front();
            }
        }
    }

    /// Puts the next of the objects that exist before everything that waits.
    fn draw(&mut self) {
        let Some(initial) = self.initial.as_mut() else {
            return;
        };
        match initial.next() {
            Some(data) => {
                let chunk = Framed::one(&data).chunk;
                self.bytes += chunk.len();
                self.queue.push_front(chunk);
            }
            None => self.initial = None,
        }
    }

    /// Reads what the client sent. An error: it is gone, or sends what it should not.
    pub fn receive(&mut self) -> io::Result<()> {
        let Carrier {
            socket,
            session,
            ahead,
        } = &mut self.carrier;
        loop {
            match session.read_tls(&mut &*socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let state = session.process_new_packets().map_err(io::Error::other)?;
            let size = state.plaintext_bytes_to_read();
            if state.peer_has_closed() || ahead.len() + size > AHEAD_MAX {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let at = ahead.len();
            ahead.resize(at + size, 0);
            session.reader().read_exact(&mut ahead[at..])?;
        }
    }
}
