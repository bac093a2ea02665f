//! A body whose pieces pass through filters on their way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::chain::{Chain, Phase, Piece};

/// The largest piece that a filter is given.
pub const PIECE_AT_MOST: usize = 64 << 10;

/// Why a filtered body ends early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError<E> {
    /// The body itself failed.
    #[error(transparent)]
    Body(E),
    /// A filter that must not be left out failed; the stream is to be reset.
    #[error("a filter refused the body")]
    Refused,
}

type Asking = Pin<Box<dyn Future<Output = Piece> + Send>>;

enum State {
    /// No filter wants it.
    Plain,
    /// The next frame is to be read.
    Reading(Chain, Phase),
    /// A piece is with the filters.
    Asking(Chain, Phase, Asking, bool),
    /// Only trailers are left, if any.
    Trailers,
    Over,
}

pin_project! {
    /// A body as filters leave it; the body itself when none wants it. At most one piece is with
    /// the filters at a time, so a slow filter slows the sender down.
    pub struct FilteredBody<B> {
        #[pin]
        body: B,
        state: State,
        // What is left of a frame that is larger than a piece.
        rest: Bytes,
        trailers: Option<HeaderMap>,
    }
}

impl<B> FilteredBody<B> {
    pub(crate) fn new(chain: &Chain, phase: Phase, body: B) -> Self {
        let state = if chain.wants(phase) {
            State::Reading(chain.clone(), phase)
        } else {
            State::Plain
        };
        Self {
            body,
            state,
            rest: Bytes::new(),
            trailers: None,
        }
    }

    /// A body that no filter sees, for requests that match none.
    pub fn plain(body: B) -> Self {
        Self {
            body,
            state: State::Plain,
            rest: Bytes::new(),
            trailers: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for FilteredBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        loop {
            match this.state {
                State::Plain => {
                    return this.body.poll_frame(context).map_err(BodyError::Body);
                }
                State::Over => return Poll::Ready(None),
                State::Trailers => {
                    *this.state = State::Over;
                    return Poll::Ready(this.trailers.take().map(Frame::trailers).map(Ok));
                }
                State::Asking(chain, phase, asking, last) => {
                    let piece = ready!(asking.as_mut().poll(context));
                    *this.state = if *last {
                        State::Trailers
                    } else {
                        State::Reading(chain.clone(), *phase)
                    };
                    match piece {
                        Piece::Refused => {
                            *this.state = State::Over;
                            return Poll::Ready(Some(Err(BodyError::Refused)));
                        }
                        Piece::Goes(bytes) if bytes.is_empty() => {}
                        Piece::Goes(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    }
                }
                State::Reading(chain, phase) => {
                    let mut over = false;
                    if this.rest.is_empty() {
                        match ready!(this.body.as_mut().poll_frame(context)) {
                            Some(Err(error)) => {
                                *this.state = State::Over;
                                return Poll::Ready(Some(Err(BodyError::Body(error))));
                            }
                            None => over = true,
                            Some(Ok(frame)) => match frame.into_data() {
                                Ok(data) => *this.rest = data,
                                Err(frame) => {
                                    *this.trailers = frame.into_trailers().ok();
                                    over = true;
                                }
                            },
                        }
                        if this.rest.is_empty() && !over {
                            continue;
                        }
                    }
                    let piece = this.rest.split_to(this.rest.len().min(PIECE_AT_MOST));
                    let last = over || (this.rest.is_empty() && this.body.is_end_stream());
                    let asking = Box::pin(chain.clone().piece(*phase, piece, last));
                    *this.state = State::Asking(chain.clone(), *phase, asking, last);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Plain => self.body.is_end_stream(),
            State::Over => true,
            State::Trailers => self.trailers.is_none(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Plain => self.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
