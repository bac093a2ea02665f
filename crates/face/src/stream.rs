//! A response body that comes over time: bounded, with notice when there is room again.
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use crate::{
    counts::Open,
    fan::Rest,
    inbox::{Inbox, Notice, locked},
    initial::Initial,
    transport::Slot,
};
use bytes::{Bytes, BytesMut};

/// Above this the program is asked to wait.
const HIGH: usize = 256 << 10;
/// Below this it is told to go on.
const LOW: usize = 64 << 10;
/// Small pieces are sent together up to this size.
const TOGETHER: usize = 32 << 10;

#[derive(Debug, Default)]
struct Inner {
    /// Sent before the queue.
    initial: Option<Box<Initial>>,
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// No more is coming.
    ended: bool,
    /// It ends in the middle: the client must not take it for whole.
    broken: bool,
    /// The body was dropped.
    closed: bool,
    /// The program waits for room.
    waited_for: bool,
    /// The fan-out wants the connection.
    wanted: bool,
    /// And has it: the body's end says nothing about the client.
    handed: bool,
    waker: Option<Waker>,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Stream {
    pub id: u64,
    inner: Mutex<Inner>,
    inbox: Arc<Inbox>,
}

impl Stream {
    pub fn new(id: u64, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self {
            id,
            inner: Mutex::default(),
            inbox,
        })
    }

    /// Sends `data`; false: wait for `Notice::Room` before the next piece. `None`: nobody reads.
    pub fn write(&self, data: Bytes) -> Option<bool> {
        let mut inner = locked(&self.inner);
        if inner.closed || inner.ended {
            return None;
        }
        inner.push(data);
        let room = inner.bytes < HIGH;
        inner.waited_for = !room;
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
        Some(room)
    }

    /// Sends these objects before anything that is written or offered from now on.
    pub fn begin(&self, initial: Initial) {
        let mut inner = locked(&self.inner);
        if inner.closed || inner.ended {
            return;
        }
        inner.initial = Some(Box::new(initial));
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
    }

    /// Sends `data` once who is to be woken is awake, unless that would go beyond the limits;
    /// `None`: it does not fit.
    pub fn offer(&self, data: Bytes, pieces_max: usize, bytes_max: usize) -> Option<Option<Waker>> {
        let mut inner = locked(&self.inner);
        if inner.closed || inner.ended {
            return Some(None);
        }
        if inner.queue.len() >= pieces_max || inner.bytes + data.len() > bytes_max {
            return None;
        }
        inner.push(data);
        Some(inner.waker.take())
    }

    /// Nothing more is written here: the connection is for the fan-out, where it can be had.
    pub fn hand_over(&self) {
        let mut inner = locked(&self.inner);
        inner.wanted = true;
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
    }

    /// The connection was taken; what was not sent is in `rest`.
    pub fn handed(&self) {
        locked(&self.inner).handed = true;
    }

    /// What is still to be sent, for who sends it instead.
    pub fn rest(&self) -> Rest {
        let mut inner = locked(&self.inner);
        inner.bytes = 0;
        Rest {
            initial: inner.initial.take(),
            queue: std::mem::take(&mut inner.queue),
            ended: inner.ended,
        }
    }

    /// Sends what waits, and `last`, then ends the body; `drop_waiting`: only `last`.
    pub fn end(&self, last: Option<Bytes>, drop_waiting: bool) {
        let mut inner = locked(&self.inner);
        if inner.ended {
            return;
        }
        if drop_waiting {
            inner.initial = None;
            inner.queue.clear();
            inner.bytes = 0;
        }
        if let Some(data) = last {
            inner.push(data);
        }
        inner.ended = true;
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
    }

    /// Breaks the body off.
    pub fn abort(&self) {
        let mut inner = locked(&self.inner);
        inner.broken = true;
        inner.ended = true;
        inner.initial = None;
        inner.queue.clear();
        inner.bytes = 0;
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Inner {
    fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        self.queue.push_back(data);
    }

    /// The next frame; small pieces are joined.
    fn next(&mut self) -> Option<Bytes> {
        if let Some(initial) = self.initial.as_mut() {
            if let Some(data) = initial.next() {
                return Some(data);
            }
            self.initial = None;
        }
        let first = self.queue.pop_front()?;
        let mut taken = first.len();
        let fits = |queue: &VecDeque<Bytes>, size: usize| {
            queue.front().is_some_and(|b| size + b.len() <= TOGETHER)
        };
        let data = if fits(&self.queue, taken) {
            let mut joined = BytesMut::from(first);
            while fits(&self.queue, joined.len()) {
                if let Some(piece) = self.queue.pop_front() {
                    joined.extend_from_slice(&piece);
                }
            }
            taken = joined.len();
            joined.freeze()
        } else {
            first
        };
        self.bytes -= taken;
        if self.queue.is_empty() {
            // An idle watch keeps no room of an earlier burst.
            self.queue = VecDeque::new();
        }
        Some(data)
    }
}

/// The reading end, which HTTP polls.
#[derive(Debug)]
pub(crate) struct StreamBody {
    stream: Arc<Stream>,
    /// Where the connection can be asked for.
    slot: Option<Arc<Slot>>,
    open: Option<Arc<Open>>,
}

impl StreamBody {
    /// `open` counts the answer as long as it is sent, by whomever.
    pub fn new(stream: Arc<Stream>, slot: Option<Arc<Slot>>, open: Option<Arc<Open>>) -> Self {
        Self { stream, slot, open }
    }

    pub fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Bytes>>> {
        let mut inner = locked(&self.stream.inner);
        if inner.wanted
            && !inner.ended
            && let Some(slot) = &self.slot
        {
            slot.park(&self.stream, self.open.as_ref());
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let Some(data) = inner.next() else {
            if inner.broken {
                return Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into())));
            }
            if inner.ended {
                return Poll::Ready(None);
            }
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let tell = inner.waited_for && inner.bytes <= LOW;
        if tell {
            inner.waited_for = false;
        }
        drop(inner);
        if tell {
            self.stream.inbox.push(Notice::Room(self.stream.id));
        }
        Poll::Ready(Some(Ok(data)))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let mut inner = locked(&self.stream.inner);
        if inner.handed {
            return;
        }
        inner.closed = true;
        inner.initial = None;
        inner.queue = VecDeque::new();
        inner.bytes = 0;
        drop(inner);
        self.stream.inbox.push(Notice::Gone(self.stream.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn poll(body: &mut StreamBody) -> Poll<Option<Bytes>> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(body)
            .poll(&mut cx)
            .map(|data| data.map(Result::unwrap))
    }

    #[test]
    fn a_full_stream_says_so_and_tells_when_there_is_room() {
        let inbox = Arc::new(Inbox::new().unwrap());
        let stream = Stream::new(7, Arc::clone(&inbox));
        let mut body = StreamBody::new(Arc::clone(&stream), None, None);
        assert!(poll(&mut body).is_pending());
        let piece = Bytes::from(vec![b'x'; HIGH / 2]);
        assert_eq!(stream.write(piece.clone()), Some(true));
        assert_eq!(stream.write(piece), Some(false));
        assert!(inbox.take().is_empty());
        while poll(&mut body).is_ready() {}
        assert!(matches!(inbox.take().as_slice(), [Notice::Room(7)]));
        drop(body);
        assert!(matches!(inbox.take().as_slice(), [Notice::Gone(7)]));
        assert_eq!(stream.write(Bytes::from_static(b"late")), None);
    }

    #[test]
    fn what_was_written_before_the_end_is_sent_in_order() {
        let stream = Stream::new(1, Arc::new(Inbox::new().unwrap()));
        let mut body = StreamBody::new(Arc::clone(&stream), None, None);
        for piece in ["a", "b", "c"] {
            stream.write(Bytes::from_static(piece.as_bytes()));
        }
        stream.end(Some(Bytes::from_static(b"d")), false);
        assert_eq!(
            poll(&mut body),
            Poll::Ready(Some(Bytes::from_static(b"abcd")))
        );
        assert_eq!(poll(&mut body), Poll::Ready(None));
    }

    #[test]
    fn an_offer_beyond_the_limits_is_refused() {
        let stream = Stream::new(1, Arc::new(Inbox::new().unwrap()));
        let mut body = StreamBody::new(Arc::clone(&stream), None, None);
        let piece = Bytes::from_static(b"1234");
        assert!(stream.offer(piece.clone(), 2, 100).is_some());
        assert!(stream.offer(piece.clone(), 2, 100).is_some());
        assert!(stream.offer(piece.clone(), 2, 100).is_none());
        assert!(stream.offer(piece, 3, 10).is_none());
        stream.end(Some(Bytes::from_static(b"too slow")), true);
        assert_eq!(
            poll(&mut body),
            Poll::Ready(Some(Bytes::from_static(b"too slow")))
        );
    }
}
