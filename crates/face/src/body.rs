//! Bodies of responses, and compressing them.
use std::{
    io::Write,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{listing::Listing, stream::StreamBody};

#[derive(Debug)]
pub(crate) enum Source {
    Whole(Option<Bytes>),
    Listing(Box<Listing>),
    Stream(StreamBody),
}

impl Source {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
        match self {
            Self::Whole(data) => Poll::Ready(data.take().filter(|d| !d.is_empty()).map(Ok)),
            Self::Listing(listing) => Poll::Ready(listing.next().map(Ok)),
            Self::Stream(body) => Pin::new(body).poll(cx),
        }
    }

    fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(data) => Some(data.as_ref().map_or(0, |d| d.len() as u64)),
            Self::Listing(listing) => Some(listing.length()),
            Self::Stream(_) => None,
        }
    }
}

/// What is compressed at once, so that other requests get their turn.
const PIECE: usize = 64 << 10;

/// A response's body.
pub(crate) struct Body {
    source: Source,
    gzip: Option<Box<GzEncoder<Vec<u8>>>>,
    rest: Bytes,
}

impl Body {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            gzip: None,
            rest: Bytes::new(),
        }
    }

    pub fn whole(data: Bytes) -> Self {
        Self::new(Source::Whole(Some(data)))
    }

    /// The same, compressed.
    pub fn gzipped(mut self) -> Self {
        self.gzip = Some(Box::new(GzEncoder::new(Vec::new(), Compression::fast())));
        self
    }

    pub fn length(&self) -> Option<u64> {
        self.source.length()
    }

    fn compress(&mut self, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
        loop {
            let Some(gzip) = self.gzip.as_mut() else {
                return Poll::Ready(None);
            };
            if self.rest.is_empty() {
                match self.source.next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(data))) => self.rest = data,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => {
                        let last = self.gzip.take().map(|g| g.finish().map(Bytes::from));
                        return Poll::Ready(last);
                    }
                }
            }
            let piece = self.rest.split_to(self.rest.len().min(PIECE));
            if let Err(error) = gzip.write_all(&piece) {
                return Poll::Ready(Some(Err(error)));
            }
            if !gzip.get_ref().is_empty() {
                let out = std::mem::take(gzip.get_mut());
                return Poll::Ready(Some(Ok(Bytes::from(out))));
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.gzip.is_some() {
            return this
                .compress(cx)
                .map(|data| data.map(|d| d.map(Frame::data)));
        }
        this.source
            .next(cx)
            .map(|data| data.map(|d| d.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(data) if self.gzip.is_none() => data.as_ref().is_none_or(Bytes::is_empty),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.length() {
            Some(length) if self.gzip.is_none() => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::{io::Read, task::Waker};

    #[test]
    fn compressed_bodies_unpack_to_the_same() {
        let text: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_be_bytes()).collect();
        let mut body = Body::whole(Bytes::from(text.clone())).gzipped();
        let mut cx = Context::from_waker(Waker::noop());
        let mut packed = Vec::new();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut cx) {
            packed.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        let mut back = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert!(back == text);
    }
}
