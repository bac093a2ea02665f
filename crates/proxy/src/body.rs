//! Message bodies: what a client sends, guarded and kept for a retry; what an upstream answers.
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::record::Finish;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request body was cut off.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum CutOff {
    #[error("the request body is longer than allowed")]
    TooLong,
    #[error("the request body stopped coming")]
    TooSlow,
    #[error("the request body is no longer available for a retry")]
    Gone,
}

/// A request body from a client with a limit on its length and on the pauses in it.
pub struct Guarded {
    incoming: Incoming,
    left: Option<u64>,
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    #[must_use]
    pub fn new(incoming: Incoming, limit: Option<u64>, pause: Option<Duration>) -> Self {
        Self {
            incoming,
            left: limit,
            pause,
            timer: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.timer = None;
                if let (Some(left), Some(data)) = (self.left.as_mut(), frame.data_ref()) {
                    match left.checked_sub(data.len() as u64) {
                        Some(rest) => *left = rest,
                        None => return Poll::Ready(Some(Err(CutOff::TooLong.into()))),
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some(pause) = self.pause else {
                    return Poll::Pending;
                };
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(CutOff::TooSlow.into())))
            }
        }
    }
}

#[derive(Default)]
struct Kept {
    source: Option<Guarded>,
    frames: VecDeque<Bytes>,
    trailers: Option<http::HeaderMap>,
    bytes: usize,
    limit: usize,
    overflow: bool,
    ended: bool,
    attempt: u32,
}

/// A request body that several attempts can read, as long as it fits into its buffer.
#[derive(Clone)]
pub struct Replay(Option<Arc<Mutex<Kept>>>);

impl Replay {
    /// Takes a body; an empty one costs nothing.
    #[must_use]
    pub fn new(body: Guarded, limit: usize) -> Self {
        if body.incoming.is_end_stream() {
            return Self(None);
        }
        Self(Some(Arc::new(Mutex::new(Kept {
            source: Some(body),
            limit,
            ..Kept::default()
        }))))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a further attempt could send the whole body.
    #[must_use]
    pub fn can_repeat(&self) -> bool {
        self.0.as_ref().is_none_or(|kept| !lock(kept).overflow)
    }

    /// Whether the client's part was read to its end.
    #[must_use]
    pub fn consumed(&self) -> bool {
        self.0.as_ref().is_none_or(|kept| lock(kept).ended)
    }

    /// The body for the next attempt; earlier ones get nothing more.
    #[must_use]
    pub fn attempt(&self) -> Body {
        match &self.0 {
            None => Body::empty(),
            Some(kept) => {
                let mut inner = lock(kept);
                inner.attempt += 1;
                let number = inner.attempt;
                let size = match &inner.source {
                    Some(source) if number == 1 => source.incoming.size_hint(),
                    _ => SizeHint::default(),
                };
                drop(inner);
                Body {
                    source: Source::Replay {
                        kept: Arc::clone(kept),
                        number,
                        at: 0,
                        size,
                    },
                    finish: None,
                }
            }
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        let Some(source) = self.source.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = match ready!(source.poll(cx)) {
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
        self.ended = source.incoming.is_end_stream() || frame.is_trailers();
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

enum Source {
    Empty,
    Full(Option<Bytes>),
    Incoming(Incoming),
    Replay {
        kept: Arc<Mutex<Kept>>,
        number: u32,
        at: usize,
        size: SizeHint,
    },
}

/// Any body this proxy sends; may carry what is to happen at its end.
pub struct Body {
    source: Source,
    finish: Option<Box<Finish>>,
}

impl Body {
    #[must_use]
    pub fn empty() -> Self {
        Self {
            source: Source::Empty,
            finish: None,
        }
    }

    #[must_use]
    pub fn full(text: impl Into<Bytes>) -> Self {
        Self {
            source: Source::Full(Some(text.into())),
            finish: None,
        }
    }

    /// An upstream's answer.
    #[must_use]
    pub fn incoming(body: Incoming) -> Self {
        Self {
            source: Source::Incoming(body),
            finish: None,
        }
    }

    /// Attaches what happens at the end; at once when the body is empty.
    #[must_use]
    pub fn finishing(mut self, mut finish: Finish) -> Self {
        if self.source_ended() {
            finish.complete();
        } else {
            self.finish = Some(Box::new(finish));
        }
        self
    }

    fn source_ended(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Full(data) => data.is_none(),
            Source::Incoming(body) => body.is_end_stream(),
            Source::Replay { kept, at, .. } => {
                let kept = lock(kept);
                let trailers = usize::from(kept.trailers.is_some());
                kept.ended && *at >= kept.frames.len() + trailers
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            Source::Empty => None,
            Source::Full(data) => data.take().map(|data| Ok(Frame::data(data))),
            Source::Incoming(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(BoxError::from))
            }
            Source::Replay {
                kept, number, at, ..
            } => {
                let mut kept = lock(kept);
                if kept.attempt != *number {
                    return Poll::Ready(Some(Err(CutOff::Gone.into())));
                }
                ready!(kept.poll(at, cx))
            }
        };
        if this.finish.is_some() {
            let ended = frame.is_none() || (matches!(frame, Some(Ok(_))) && this.source_ended());
            if let Some(finish) = this.finish.as_mut() {
                if let Some(Ok(frame)) = &frame {
                    finish.saw(frame);
                }
                if ended {
                    finish.complete();
                    this.finish = None;
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(data) => SizeHint::with_exact(data.as_ref().map_or(0, |d| d.len() as u64)),
            Source::Incoming(body) => body.size_hint(),
            Source::Replay { size, .. } => *size,
        }
    }
}
