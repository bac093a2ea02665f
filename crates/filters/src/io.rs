//! The task of the socket: writes what calls have queued, as much as there is at once; reads what
//! the host answers, and wakes who waits.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::declaration::Announcement;
use crate::event::Event;
use crate::link::Shared;
use crate::protocol::{self, Frame, FrameError};
use crate::table::Table;

const BUFFER: usize = 64 << 10;
/// Buffers that a burst has grown beyond this are given back when they are empty.
const KEPT: usize = 256 << 10;

/// Why the connection is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("it closed its socket")]
    Closed,
    #[error("its socket failed: {0}")]
    Socket(#[from] io::Error),
    #[error("it sent {0}")]
    Frame(#[from] FrameError),
    #[error("it announced what cannot be read: {0}")]
    Announcement(#[from] serde_json::Error),
}

/// One connection.
pub(crate) struct Io {
    shared: Arc<Shared>,
    stream: UnixStream,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
}

impl Io {
    pub fn new(shared: Arc<Shared>, stream: UnixStream) -> Self {
        let (input, output) = (vec![0; BUFFER], Vec::new());
        Self {
            shared,
            stream,
            input,
            filled: 0,
            output,
            written: 0,
        }
    }

    /// Carry frames until the host is gone.
    pub async fn run(mut self) -> LinkError {
        let error = poll_fn(|context| self.poll(context)).await;
        self.shared.link().down();
        error
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<LinkError> {
        // Answers first: they may be what lets more be written.
        let over = match self.poll_read(context) {
            Poll::Ready(error) => return Poll::Ready(error),
            Poll::Pending => self.poll_write(context),
        };
        match over {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<LinkError> {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(2 * self.filled, 0);
            }
            let free = self.input.get_mut(self.filled..).unwrap_or_default();
            let mut buffer = ReadBuf::new(free);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Err(error) => return Poll::Ready(error.into()),
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(LinkError::Closed),
                Ok(()) => self.filled += buffer.filled().len(),
            }
            if let Err(error) = self.take_frames() {
                return Poll::Ready(error);
            }
        }
    }

    fn take_frames(&mut self) -> Result<(), LinkError> {
        let mut taken = 0;
        while let Some((frame, length)) =
            protocol::parse(self.input.get(taken..self.filled).unwrap_or_default())?
        {
            match frame {
                Frame::Answer {
                    exchange,
                    answering,
                    outcomes,
                    reply,
                } => {
                    self.shared.answer(exchange, answering, outcomes, reply);
                }
                Frame::Announce(text) => install(&self.shared, &serde_json::from_slice(text)?),
            }
            taken += length;
        }
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        if self.filled == 0 && self.input.len() > KEPT {
            self.input = vec![0; BUFFER];
        }
        Ok(())
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            if self.written == self.output.len() {
                self.output.clear();
                self.written = 0;
                if self.output.capacity() > KEPT {
                    self.output = Vec::new();
                }
                let mut link = self.shared.link();
                std::mem::swap(&mut self.output, &mut link.out);
                if self.output.is_empty() {
                    if !link
                        .io
                        .as_ref()
                        .is_some_and(|known| known.will_wake(context.waker()))
                    {
                        link.io = Some(context.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
            let left = self.output.get(self.written..).unwrap_or_default();
            match ready!(Pin::new(&mut self.stream).poll_write(context, left)) {
                Ok(0) => return Poll::Ready(Err(LinkError::Closed)),
                Ok(count) => self.written += count,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

/// Put a new table in force.
fn install(shared: &Shared, announced: &Announcement) {
    let table = Table::new(announced, &shared.table.load());
    let report = shared.report();
    for error in &table.errors {
        report(Event::FileFailed(error.clone()));
    }
    let filters = table
        .rules
        .iter()
        .map(|rule| rule.state.name.to_string())
        .collect();
    shared.table.store(Arc::new(table));
    {
        let mut link = shared.link();
        link.up = true;
        protocol::ack(&mut link.out);
    }
    report(Event::Loaded { filters });
    shared.loaded.send_modify(|count| *count += 1);
}
