//! The bodies of gRPC-Web.
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::text::{self, Decoder};
use crate::frame::{self, TRAILERS};

/// Why a body cannot be turned.
#[derive(Debug, thiserror::Error)]
pub enum WebError<E> {
    /// The other side broke off.
    #[error(transparent)]
    Inner(E),
    /// gRPC-Web text that is not base64.
    #[error("the body is not base64")]
    NotBase64,
}

pin_project! {
    /// The body of a request, as gRPC.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        // None: binary, passed on as it is.
        decoder: Option<Decoder>,
    }
}

pin_project! {
    /// The body of a response, as gRPC-Web: trailers become a last message.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        mode: Mode,
        ended: bool,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Untouched,
    Binary,
    Text,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, text: bool) -> Self {
        Self {
            inner,
            decoder: text.then(Decoder::default),
        }
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn new(inner: B, text: bool) -> Self {
        Self {
            inner,
            mode: if text { Mode::Text } else { Mode::Binary },
            ended: false,
        }
    }

    pub(super) const fn untouched(inner: B) -> Self {
        Self {
            inner,
            mode: Mode::Untouched,
            ended: false,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = WebError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        loop {
            let frame = match ready!(this.inner.as_mut().poll_frame(context)) {
                None => {
                    let whole = this.decoder.as_ref().is_none_or(Decoder::is_whole);
                    // Once only: the next poll is past the end.
                    *this.decoder = None;
                    return Poll::Ready((!whole).then_some(Err(WebError::NotBase64)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(WebError::Inner(error)))),
                Some(Ok(frame)) => frame,
            };
            let Some(decoder) = this.decoder.as_mut() else {
                return Poll::Ready(Some(Ok(frame)));
            };
            // A browser has no trailers; a program that sends some means nothing by them.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            match decoder.feed(&data) {
                Ok(decoded) if decoded.is_empty() => {}
                Ok(decoded) => return Poll::Ready(Some(Ok(Frame::data(decoded)))),
                Err(text::NotBase64) => return Poll::Ready(Some(Err(WebError::NotBase64))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.as_ref().is_none_or(Decoder::is_whole) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.decoder {
            None => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(this.inner.poll_frame(context)) {
            Some(Ok(frame)) if *this.mode != Mode::Untouched => frame,
            other => return Poll::Ready(other),
        };
        let bytes = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                *this.ended = true;
                trailers(&frame.into_trailers().unwrap_or_default())
            }
        };
        let bytes = match this.mode {
            Mode::Text => text::encode(&bytes),
            _ => bytes,
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.mode {
            Mode::Untouched => self.inner.size_hint(),
            // Trailers come in addition, however many bytes there are before.
            _ => SizeHint::default(),
        }
    }
}

/// Trailers as the last message: lines as in HTTP/1.1.
fn trailers(trailers: &HeaderMap) -> Bytes {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    let mut out = BytesMut::new();
    frame::put(&mut out, TRAILERS, &lines);
    out.freeze()
}
