//! Windows: room for our bodies, and what we give back to the peer.

use std::task::{Context, Poll};

use super::State;
use super::stream::{Key, Recv, Send, remember};
use crate::error::Error;
use crate::frame;

/// Octets that all streams of a connection may have waiting, however large its window is.
const CONNECTION_BUFFER: i64 = 1 << 20;

impl State {
    /// Octets that the application may send on this stream now.
    pub(crate) fn capacity(&mut self, key: Key) -> usize {
        let own = self.own_room(key);
        own.min(self.room()).max(0) as usize
    }

    /// Room that all streams share.
    fn room(&self) -> i64 {
        self.send_window.min(CONNECTION_BUFFER) - self.buffered as i64
    }

    /// Room of this stream, whatever the others have.
    fn own_room(&mut self, key: Key) -> i64 {
        let most = self.config.send_buffer as i64;
        let Some(stream) = self.streams.get(key) else {
            return 0;
        };
        stream.send_window.min(most) - stream.buffered as i64
    }

    /// The application wants to send `octets` next.
    pub(crate) fn reserve(&mut self, key: Key, octets: usize) {
        if let Some(stream) = self.streams.get(key) {
            stream.wanted = octets;
        }
    }

    /// Ready with the octets that may be sent, once that is more than none.
    pub(crate) fn poll_capacity(
        &mut self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<usize, Error>>> {
        let capacity = self.capacity(key);
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(None);
        };
        if let Some(error) = &stream.error {
            return Poll::Ready(Some(Err((**error).clone())));
        }
        if matches!(stream.send, Send::Ending | Send::Ended) {
            return Poll::Ready(None);
        }
        if capacity > 0 {
            return Poll::Ready(Some(Ok(capacity)));
        }
        remember(&mut stream.send_task, cx.waker());
        self.enqueue(key);
        Poll::Pending
    }

    /// Wait for room of the connection, where that is what is missing.
    fn enqueue(&mut self, key: Key) {
        if self.own_room(key) <= 0 {
            // `window_opened` or the write of what waits will wake it.
            return;
        }
        if let Some(stream) = self.streams.get(key)
            && !std::mem::replace(&mut stream.in_queue, true)
        {
            self.queue.push_back(key);
        }
    }

    /// The stream's own room grew.
    pub(super) fn window_opened(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let waits = stream.send_task.is_some();
        // An empty body that ends the stream needs no window.
        let sends = match stream.bodies.front() {
            Some(body) => body.is_empty() || stream.send_window > 0,
            None => false,
        };
        if sends && !std::mem::replace(&mut stream.in_round, true) {
            self.round.push_back(key);
        }
        if !waits {
            return;
        }
        if self.capacity(key) > 0 {
            if let Some(stream) = self.streams.get(key) {
                stream.wake_send();
            }
        } else {
            self.enqueue(key);
        }
    }

    /// Shared room came into being: wake those that wait for it, in order, as many as it serves.
    pub(super) fn wake_queue(&mut self) {
        let mut room = self.room();
        while room > 0 {
            let Some(key) = self.queue.pop_front() else {
                return;
            };
            let own = self.own_room(key);
            let Some(stream) = self.streams.get(key) else {
                continue;
            };
            stream.in_queue = false;
            if own > 0 && !stream.closed {
                // No more than a frame: it may not take what it asked for.
                room -= own.min(stream.wanted.clamp(1, 16_384) as i64);
                stream.wake_send();
            }
        }
    }

    /// The application is done with `octets` of what it got.
    pub(crate) fn release(&mut self, key: Key, octets: usize) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let octets = stream.held.min(u32::try_from(octets).unwrap_or(u32::MAX));
        stream.held -= octets;
        stream.released += octets;
        let waiting = self.out.len();
        self.release_connection(octets);
        self.announce(key);
        if self.out.len() > waiting {
            self.notify();
        }
    }

    /// Tell the peer of the room in a stream, once it is half a window.
    pub(super) fn announce(&mut self, key: Key) {
        let half = self.config.window / 2;
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.released < half.max(1) || stream.recv == Recv::Ended || stream.closed {
            return;
        }
        let increment = std::mem::take(&mut stream.released);
        stream.recv_window += i64::from(increment);
        frame::window_update(&mut self.out.frames, key.id, increment);
    }

    /// The same for the whole connection.
    pub(super) fn release_connection(&mut self, octets: u32) {
        self.released += octets;
        if self.released >= self.config.connection_window / 2 {
            let increment = std::mem::take(&mut self.released);
            self.recv_window += i64::from(increment);
            frame::window_update(&mut self.out.frames, 0, increment);
            self.notify();
        }
    }
}
