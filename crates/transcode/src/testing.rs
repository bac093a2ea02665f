//! Bodies for tests.
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;

/// A body of these steps; each is pending once before it comes.
pub(crate) struct Steps {
    steps: VecDeque<Result<Frame<Bytes>, String>>,
    waited: bool,
}

impl Steps {
    pub(crate) fn new(steps: impl IntoIterator<Item = Result<Frame<Bytes>, String>>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            waited: false,
        }
    }

    /// Pieces of data, then these trailers.
    pub(crate) fn call(data: &[&[u8]], trailers: &[(&'static str, &str)]) -> Self {
        let data = data
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))));
        let end = (!trailers.is_empty()).then(|| Ok(Frame::trailers(headers(trailers))));
        Self::new(data.chain(end))
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        if !std::mem::replace(&mut self.waited, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waited = false;
        Poll::Ready(self.steps.pop_front())
    }
}

pub(crate) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// All data of a body, its trailers, and the error it ends with.
pub(crate) async fn drain<B>(body: B) -> (Vec<u8>, Option<HeaderMap>, Option<String>)
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame {
            Err(error) => return (data, trailers, Some(error.to_string())),
            Ok(frame) => match frame.into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
    (data, trailers, None)
}

/// Runs a future to its end.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}
