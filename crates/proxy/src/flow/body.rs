//! Any body that this proxy reads or sends.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use cloudwright_filters::{BodyError, FilteredBody};
use cloudwright_http1 as http1;
use cloudwright_http2 as http2;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{finish::Finish, pump::Pump, replay::Reader};
use crate::io::Io;

/// An error of a body, whoever made it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes and trailers of an HTTP/2 stream.
pub struct Stream {
    stream: http2::RecvStream,
    data_ended: bool,
    ended: bool,
}

impl Stream {
    /// The body of a message that came on `stream`.
    #[must_use]
    pub fn new(stream: http2::RecvStream) -> Self {
        let ended = stream.is_end_stream();
        Self {
            stream,
            data_ended: ended,
            ended,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, http2::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever gets it sends it on before asking again: that is the back-pressure.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.ended = self.stream.is_end_stream();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.ended = true;
        Poll::Ready(match trailers {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

/// Where the bytes come from.
pub enum Source {
    Empty,
    Full(Bytes),
    /// A client's request over HTTP/1.1.
    Request(http1::server::RequestBody<Io>),
    /// Over HTTP/2, of either side.
    Stream(Stream),
    /// An endpoint's answer over HTTP/1.1, which sends the rest of the request as it is read.
    Response(Box<http1::client::ResponseBody<Io, Body>>),
    /// The same over HTTP/2.
    Answer(Box<(Stream, Pump)>),
    Replay(Reader),
    /// As filters leave it.
    Filtered(Box<FilteredBody<Body>>),
    /// Of another kind than what came.
    Turned(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>),
}

/// A body; may carry what is to happen at its end.
pub struct Body {
    source: Source,
    finish: Option<Box<Finish>>,
}

impl From<Source> for Body {
    fn from(source: Source) -> Self {
        Self {
            source,
            finish: None,
        }
    }
}

impl Body {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Source::Empty.into()
    }

    /// Bytes that are there.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Source::Full(bytes).into()
        }
    }

    /// Attaches what happens at the end of what takes this body's place (an upgrade).
    #[must_use]
    pub fn carrying(mut self, finish: Box<Finish>) -> Self {
        self.finish = Some(finish);
        self
    }

    /// Attaches what happens at the end; at once when the body is empty.
    #[must_use]
    pub fn finishing(mut self, mut finish: Box<Finish>) -> Self {
        if self.is_end_stream() {
            finish.complete();
        } else {
            self.finish = Some(finish);
        }
        self
    }

    /// The endpoint's socket with the bytes read ahead, once, after an upgrade.
    pub fn take_upgraded(&mut self) -> Option<(Io, Bytes)> {
        match &mut self.source {
            Source::Response(body) => body.take_upgraded(),
            _ => None,
        }
    }

    /// What happens at the end, for whoever sends something else instead of this body.
    pub fn take_finish(&mut self) -> Option<Box<Finish>> {
        self.finish.take()
    }
}

fn unfiltered(error: BodyError<BoxError>) -> BoxError {
    match error {
        BodyError::Body(error) => error,
        BodyError::Refused => "a filter refused the body".into(),
    }
}

fn boxed<T>(frame: Option<Result<T, impl Into<BoxError>>>) -> Option<Result<T, BoxError>> {
    frame.map(|frame| frame.map_err(Into::into))
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
            Source::Full(_) => match std::mem::replace(&mut this.source, Source::Empty) {
                Source::Full(data) => Some(Ok(Frame::data(data))),
                _ => None,
            },
            Source::Request(body) => boxed(ready!(Pin::new(body).poll_frame(cx))),
            Source::Stream(stream) => boxed(ready!(stream.poll(cx))),
            Source::Response(body) => boxed(ready!(Pin::new(&mut **body).poll_frame(cx))),
            Source::Answer(pair) => {
                let (stream, pump) = &mut **pair;
                // What is left of the request goes on; that it fails is the endpoint's to tell.
                let _ = pump.poll(cx);
                boxed(ready!(stream.poll(cx)))
            }
            Source::Replay(reader) => ready!(reader.poll(cx)),
            Source::Turned(body) => ready!(body.as_mut().poll_frame(cx)),
            Source::Filtered(body) => {
                let frame = ready!(Pin::new(&mut **body).poll_frame(cx));
                frame.map(|frame| frame.map_err(unfiltered))
            }
        };
        if let Some(finish) = this.finish.as_mut() {
            if let Some(Ok(frame)) = &frame {
                finish.saw(frame);
            }
            let ended =
                frame.is_none() || (matches!(frame, Some(Ok(_))) && source_ended(&this.source));
            if ended {
                finish.complete();
                this.finish = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        source_ended(&self.source)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(data) => SizeHint::with_exact(data.len() as u64),
            Source::Request(body) => body.size_hint(),
            Source::Stream(stream) if stream.ended => SizeHint::with_exact(0),
            Source::Response(body) => body.size_hint(),
            Source::Stream(_) | Source::Answer(_) => SizeHint::default(),
            Source::Replay(reader) => reader.size_hint(),
            Source::Filtered(body) => body.size_hint(),
            Source::Turned(body) => body.size_hint(),
        }
    }
}

fn source_ended(source: &Source) -> bool {
    match source {
        Source::Empty => true,
        Source::Full(_) => false,
        Source::Request(body) => body.is_end_stream(),
        Source::Stream(stream) => stream.ended,
        Source::Response(body) => body.is_end_stream(),
        Source::Answer(pair) => pair.0.ended,
        Source::Replay(reader) => reader.is_ended(),
        Source::Filtered(body) => body.is_end_stream(),
        Source::Turned(body) => body.is_end_stream(),
    }
}
