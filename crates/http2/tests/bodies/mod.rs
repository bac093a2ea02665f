//! Bodies for tests: made, piped and drained with backpressure.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cloudwright_http2::{Error, RecvStream, SendStream};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;

/// A body of so many octets.
pub struct Pattern {
    left: usize,
}

impl Pattern {
    pub fn new(octets: usize) -> Self {
        Self { left: octets }
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.left.min(50_000);
        self.left -= part;
        Poll::Ready((part > 0).then(|| Ok(Frame::data(Bytes::from(vec![b'p'; part])))))
    }
}

/// Send a body as fast as the windows allow.
pub async fn pipe<B>(mut to: SendStream, body: B) -> Result<(), Error>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(mut data) => {
                while !data.is_empty() {
                    to.reserve_capacity(data.len());
                    let Some(room) = poll_fn(|cx| to.poll_capacity(cx)).await else {
                        return Ok(());
                    };
                    to.send_data(data.split_to(room?.min(data.len())), false)?;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return to.send_trailers(trailers);
                }
            }
        }
    }
    to.send_data(Bytes::new(), true)
}

/// Read a body to its end: octets and trailers.
pub async fn drain(mut body: RecvStream) -> Result<(usize, Option<HeaderMap>), Error> {
    let mut octets = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        octets += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((octets, body.trailers().await?))
}
