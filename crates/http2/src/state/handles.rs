//! Handles of streams, and what they wait for.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::stream::{Event, Key, Recv, remember};
use super::{Shared, State};
use crate::error::Error;

/// A reference to a stream; when the last one goes, what is left of the stream is reset.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Key,
}

impl Handle {
    /// A handle for a reference that is counted already.
    pub(crate) fn counted(shared: Arc<Shared>, key: Key) -> Self {
        Self { shared, key }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        if let Some(stream) = self.shared.lock().streams.get(self.key) {
            stream.refs += 1;
        }
        Self {
            shared: self.shared.clone(),
            key: self.key,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().unrefer(self.key);
    }
}

impl State {
    /// Count `count` handles more.
    pub(crate) fn refer(&mut self, key: Key, count: u32) {
        if let Some(stream) = self.streams.get(key) {
            stream.refs += count;
        }
    }

    fn unrefer(&mut self, key: Key) {
        if let Some(stream) = self.streams.get(key) {
            stream.refs -= 1;
            if stream.refs == 0 {
                self.abandoned(key);
            }
        }
    }

    /// The reader of the stream is gone.
    pub(crate) fn stop_reading(&mut self, key: Key) {
        self.discard(key);
    }

    /// The response's head (client); 1xx that nobody asked for are dropped.
    pub(crate) fn poll_response(
        &mut self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Error>> {
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(Err(Error::user("no_stream")));
        };
        while let Some(Event::Informational(_)) = stream.events.front() {
            stream.events.pop();
        }
        if let Some(Event::Response(_)) = stream.events.front()
            && let Some(Event::Response(response)) = stream.events.pop()
        {
            return Poll::Ready(Ok(*response));
        }
        if let Some(error) = &stream.error {
            return Poll::Ready(Err((**error).clone()));
        }
        remember(&mut stream.recv_task, cx.waker());
        Poll::Pending
    }

    /// The next 1xx response (client); `None` once the response itself is there.
    pub(crate) fn poll_informational(
        &mut self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Response<()>, Error>>> {
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(None);
        };
        match stream.events.front() {
            Some(Event::Informational(_)) => {}
            Some(_) => return Poll::Ready(None),
            None => {
                if let Some(error) = &stream.error {
                    return Poll::Ready(Some(Err((**error).clone())));
                }
                remember(&mut stream.recv_task, cx.waker());
                return Poll::Pending;
            }
        }
        match stream.events.pop() {
            Some(Event::Informational(response)) => Poll::Ready(Some(Ok(*response))),
            _ => Poll::Ready(None),
        }
    }

    /// The next part of the body; `None` at its end, with trailers or without.
    pub(crate) fn poll_data(
        &mut self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(None);
        };
        match stream.events.front() {
            Some(Event::Data(_)) => {}
            Some(_) => return Poll::Ready(None),
            None => return self.poll_end(key, cx).map(|end| end.err().map(Err)),
        }
        match stream.events.pop() {
            Some(Event::Data(data)) => Poll::Ready(Some(Ok(data))),
            _ => Poll::Ready(None),
        }
    }

    /// The trailers, once the body is read; `None` where there are none.
    pub(crate) fn poll_trailers(
        &mut self,
        key: Key,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, Error>> {
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(Ok(None));
        };
        match stream.events.front() {
            Some(Event::Trailers(_)) => {}
            // Unread data comes first.
            Some(_) => {
                remember(&mut stream.recv_task, cx.waker());
                return Poll::Pending;
            }
            None => return self.poll_end(key, cx).map_ok(|()| None),
        }
        match stream.events.pop() {
            Some(Event::Trailers(trailers)) => Poll::Ready(Ok(Some(*trailers))),
            _ => Poll::Ready(Ok(None)),
        }
    }

    /// Nothing waits: the end, an error, or more to come.
    fn poll_end(&mut self, key: Key, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(stream) = self.streams.get(key) else {
            return Poll::Ready(Ok(()));
        };
        if stream.recv == Recv::Ended {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &stream.error {
            return Poll::Ready(Err((**error).clone()));
        }
        remember(&mut stream.recv_task, cx.waker());
        Poll::Pending
    }

    /// Whether nothing more will come, and nothing waits to be read.
    pub(crate) fn is_end_stream(&mut self, key: Key) -> bool {
        self.streams
            .get(key)
            .is_none_or(|stream| stream.recv == Recv::Ended && stream.events.is_empty())
    }

    /// Octets of the body that are still to come or to be read, where that was declared.
    pub(crate) fn expected(&mut self, key: Key) -> Option<u64> {
        let stream = self.streams.get(key)?;
        (stream.expected != super::stream::UNKNOWN)
            .then(|| stream.expected + u64::from(stream.held))
    }
}
