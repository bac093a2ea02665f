//! Request bodies that several attempts can read, as long as they fit into a buffer.
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use super::body::{Body, BoxError, Source};

struct Kept {
    source: Body,
    frames: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    bytes: usize,
    limit: usize,
    overflow: bool,
    ended: bool,
    attempt: u32,
}

/// The body was too long to be kept, or a later attempt reads it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request body is no longer available for this attempt")]
pub struct Gone;

/// A body for several attempts.
#[derive(Clone)]
pub struct Replay(Arc<Mutex<Kept>>);

/// One attempt's view of it.
pub struct Reader {
    kept: Arc<Mutex<Kept>>,
    number: u32,
    at: usize,
    size: SizeHint,
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replay {
    /// Keeps up to `limit` bytes of `body`.
    #[must_use]
    pub fn new(body: Body, limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            source: body,
            frames: VecDeque::new(),
            trailers: None,
            bytes: 0,
            limit,
            overflow: false,
            ended: false,
            attempt: 0,
        })))
    }

    /// Whether a further attempt could send the whole body.
    #[must_use]
    pub fn can_repeat(&self) -> bool {
        !lock(&self.0).overflow
    }

    /// The body for the next attempt; earlier ones get nothing more.
    #[must_use]
    pub fn attempt(&self) -> Body {
        let mut kept = lock(&self.0);
        kept.attempt += 1;
        let size = if kept.attempt == 1 {
            kept.source.size_hint()
        } else {
            SizeHint::default()
        };
        Source::Replay(Reader {
            kept: Arc::clone(&self.0),
            number: kept.attempt,
            at: 0,
            size,
        })
        .into()
    }
}

impl Kept {
    fn poll(
        &mut self,
        at: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(data) = self.frames.get(*at) {
            *at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if self.ended {
            if *at == self.frames.len()
                && let Some(trailers) = &self.trailers
            {
                *at += 1;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
            }
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.overflow = true;
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
        };
        self.ended = self.source.is_end_stream() || frame.is_trailers();
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            *at = self.frames.len() + 1;
        } else if let Some(data) = frame.data_ref()
            && !self.overflow
        {
            self.bytes += data.len();
            if self.bytes > self.limit {
                self.overflow = true;
                self.frames = VecDeque::new();
                *at = 0;
            } else {
                self.frames.push_back(data.clone());
                *at += 1;
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Reader {
    /// The next part.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut kept = lock(&self.kept);
        if kept.attempt != self.number {
            return Poll::Ready(Some(Err(Gone.into())));
        }
        kept.poll(&mut self.at, cx)
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        let kept = lock(&self.kept);
        let trailers = usize::from(kept.trailers.is_some());
        kept.ended && self.at >= kept.frames.len() + trailers
    }

    /// How long the whole is.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        self.size
    }
}
