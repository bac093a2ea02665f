//! The body of a response: read message by message, written message by message.
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::Format;
use super::call::{Printer, plain};
use crate::frame::Frames;
use crate::json::Failure;
use crate::status::GrpcStatus;

/// Why a body that has begun cannot be finished. The connection or stream is to be reset: what
/// was sent is not all there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The call failed after messages had been sent, in a format that cannot say so.
    #[error("the call ended with status {code}: {message}")]
    Status {
        /// `google.rpc.Code`.
        code: u32,
        /// What the upstream said.
        message: String,
    },
}

/// The messages of a response, as they come.
#[derive(Debug)]
pub(super) struct Source<B> {
    /// None after its end.
    pub(super) body: Option<B>,
    pub(super) frames: Frames,
    /// The status, once it is known.
    pub(super) end: Option<GrpcStatus>,
    pub(super) trailers: HeaderMap,
}

/// A message, or the status that ends the call.
type Item = Result<Bytes, GrpcStatus>;

impl<B> Source<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    pub(super) async fn next(&mut self) -> Result<Item, Failure> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    pub(super) fn poll(&mut self, context: &mut Context) -> Poll<Result<Item, Failure>> {
        loop {
            match self.frames.take() {
                Ok(Some(frame)) => return Poll::Ready(plain(frame).map(Ok)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(broken(error))),
            }
            if let Some(status) = &self.end {
                let whole = status.code != 0 || self.frames.finish().is_ok();
                let end = if whole {
                    Ok(Err(status.clone()))
                } else {
                    Err(cut())
                };
                return Poll::Ready(end);
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Ok(Err(GrpcStatus::new(2, "the upstream gave no status"))));
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                None => self.body = None,
                Some(Err(error)) => {
                    self.body = None;
                    let why = format!("the upstream broke off: {error}");
                    return Poll::Ready(Err(Failure::new(14, why)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.frames.feed(data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.end = GrpcStatus::of(&trailers);
                        self.trailers = trailers;
                        self.body = None;
                    }
                },
            }
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(13, format!("the upstream's answer: {error}"))
}

fn cut() -> Failure {
    broken(crate::frame::FrameError::Truncated)
}

/// A response in JSON: whole, or as the messages come.
#[derive(Debug)]
pub struct ResponseBody<B> {
    inner: Inner<B>,
}

#[derive(Debug)]
enum Inner<B> {
    Whole(Option<Bytes>),
    Stream(Box<Streaming<B>>),
}

#[derive(Debug)]
struct Streaming<B> {
    source: Source<B>,
    printer: Printer,
    format: Format,
    /// The first message, printed already.
    first: Option<Bytes>,
    begun: bool,
    ended: bool,
}

impl<B> ResponseBody<B> {
    pub(super) const fn whole(body: Bytes) -> Self {
        Self {
            inner: Inner::Whole(Some(body)),
        }
    }

    pub(super) fn stream(
        source: Source<B>,
        printer: Printer,
        format: Format,
        first: Option<Bytes>,
    ) -> Self {
        let streaming = Streaming {
            source,
            printer,
            format,
            first,
            begun: false,
            ended: false,
        };
        Self {
            inner: Inner::Stream(Box::new(streaming)),
        }
    }
}

impl<B> Streaming<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    fn poll(&mut self, context: &mut Context) -> Poll<Option<Result<Bytes, StreamError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(self.item(&first))));
        }
        let printed = match ready!(self.source.poll(context)) {
            Ok(Ok(message)) => self.printer.print(message),
            Ok(Err(status)) => return Poll::Ready(self.end(&status)),
            Err(failure) => Err(failure),
        };
        Poll::Ready(match printed {
            Ok(printed) => Some(Ok(self.item(&printed.body))),
            Err(failure) => self.end(&failure.into()),
        })
    }

    /// A message with what goes around it.
    fn item(&mut self, json: &Bytes) -> Bytes {
        let begun = std::mem::replace(&mut self.begun, true);
        let (before, after) = match self.format {
            Format::Array if begun => (",", ""),
            Format::Array => ("[", ""),
            Format::Lines => ("", "\n"),
            Format::Events => ("data: ", "\n\n"),
            Format::Raw => return json.clone(),
        };
        let mut out = BytesMut::with_capacity(before.len() + json.len() + after.len());
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(json);
        out.extend_from_slice(after.as_bytes());
        out.freeze()
    }

    /// The end, with the status in it where the format can say it.
    fn end(&mut self, status: &GrpcStatus) -> Option<Result<Bytes, StreamError>> {
        self.ended = true;
        self.source.body = None;
        let json = || self.printer.status(status);
        match (self.format, status.code) {
            (Format::Array, 0) if self.begun => Some(Ok(Bytes::from_static(b"]"))),
            (Format::Array, 0) => Some(Ok(Bytes::from_static(b"[]"))),
            (_, 0) => None,
            (Format::Lines, _) => Some(Ok(format!("{{\"error\":{}}}\n", json()).into())),
            (Format::Events, _) => Some(Ok(format!("event: error\ndata: {}\n\n", json()).into())),
            (Format::Array | Format::Raw, _) => Some(Err(StreamError::Status {
                code: status.code,
                message: status.message.clone(),
            })),
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.inner {
            Inner::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Inner::Stream(stream) => stream
                .poll(context)
                .map(|next| next.map(|result| result.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Whole(body) => body.is_none(),
            Inner::Stream(stream) => stream.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}
