//! TLS for the HTTP/1.1 server, made so that a connection can be taken from it and given back.
use std::{
    io::{self, BufRead as _, ErrorKind, Read, Write},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use hyper::rt::ReadBufCursor;
use rustls::ServerConnection;
use tokio::{io::AsyncWrite as _, net::TcpStream};

use crate::{counts::Open, fan::Carrier, inbox::locked, stream::Stream};

#[derive(Debug, Default)]
struct Parked {
    watch: Option<(Arc<Stream>, Option<Arc<Open>>)>,
    /// The HTTP server wrote, and not everything is out. It flushes whatever it has whenever it is
    /// polled, so that what it did not write does not exist.
    unsent: bool,
}

/// Between a watch's body, which asks for its connection, and who serves the connection.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    parked: Mutex<Parked>,
}

impl Slot {
    /// The body of this watch has nothing for the HTTP server any more.
    pub fn park(&self, stream: &Arc<Stream>, open: Option<&Arc<Open>>) {
        let mut parked = locked(&self.parked);
        parked.watch = Some((Arc::clone(stream), open.cloned()));
    }

    fn set_unsent(&self, unsent: bool) {
        locked(&self.parked).unsent = unsent;
    }

    /// The watch for which the connection can be taken now.
    pub fn take(&self) -> Option<(Arc<Stream>, Option<Arc<Open>>)> {
        let mut parked = locked(&self.parked);
        let taken = if parked.unsent {
            None
        } else {
            parked.watch.take()
        };
        if let Some((stream, _)) = &taken {
            stream.handed();
        }
        taken
    }
}

/// A connection after its handshake, as hyper wants it.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: TcpStream,
    session: ServerConnection,
    /// Read before, by somebody else.
    ahead: BytesMut,
    slot: Arc<Slot>,
    ending: bool,
}

/// A socket that never waits.
struct Now<'a>(&'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.try_write(data)
    }

    fn write_vectored(&mut self, data: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport {
    pub fn new(socket: TcpStream, session: ServerConnection, slot: Arc<Slot>) -> Self {
        Self {
            socket,
            session,
            ahead: BytesMut::new(),
            slot,
            ending: false,
        }
    }

    /// What was given away, back again. Within a runtime.
    pub fn from_carrier(carrier: Carrier, slot: Arc<Slot>) -> io::Result<Self> {
        Ok(Self {
            ahead: carrier.ahead,
            ..Self::new(TcpStream::from_std(carrier.socket)?, carrier.session, slot)
        })
    }

    /// To be given away; `read` was taken from it already, and not used.
    pub fn into_carrier(self, read: &[u8]) -> io::Result<Carrier> {
        let mut ahead = BytesMut::from(read);
        ahead.extend_from_slice(&self.ahead);
        Ok(Carrier {
            socket: self.socket.into_std()?,
            session: self.session,
            ahead,
        })
    }

    /// Decrypted bytes, if there are some.
    fn received(&mut self, buf: &mut ReadBufCursor<'_>) -> io::Result<bool> {
        if !self.ahead.is_empty() {
            let size = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..size]);
            self.ahead.advance(size);
            return Ok(true);
        }
        let mut reader = self.session.reader();
        let size = match reader.fill_buf() {
            Ok(data) => {
                let size = data.len().min(buf.remaining());
                buf.put_slice(&data[..size]);
                size
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        reader.consume(size);
        // None: the other side said that it ends.
        Ok(true)
    }

    fn process(&mut self) -> io::Result<()> {
        let processed = self.session.process_new_packets();
        // An answer of TLS itself, or what is wrong: as much as fits at once.
        while self.session.wants_write() {
            if self.session.write_tls(&mut Now(&self.socket)).is_err() {
                break;
            }
        }
        processed.map_err(io::Error::other)?;
        Ok(())
    }

    /// Sends what is encrypted.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Now(&self.socket)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.slot.set_unsent(true);
        loop {
            let written = self.session.writer().write_vectored(data)?;
            let drained = self.poll_drain(cx)?;
            if written > 0 || data.iter().all(|piece| piece.is_empty()) {
                return Poll::Ready(Ok(written));
            }
            ready!(drained);
        }
    }
}

impl hyper::rt::Read for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.received(&mut buf)? {
            match this.session.read_tls(&mut Now(&this.socket)) {
                Ok(_) => this.process()?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(this.socket.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        this.slot.set_unsent(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ending {
            this.ending = true;
            this.session.send_close_notify();
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
