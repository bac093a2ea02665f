//! Sending a request and getting the head of its response.

use std::fmt;
use std::future::poll_fn;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::ResponseBody;
use super::connection::Connection;
use super::exchange::Exchange;
use crate::error::{BoxError, Error, Fault};

/// A request that got no response.
pub struct SendError<B> {
    /// Why.
    pub error: Error,
    /// Any byte of the request was sent.
    pub sent: bool,
    /// The server has the whole head, so it may have acted on the request.
    pub processed: bool,
    /// The request, unless its body was already asked for data.
    pub request: Option<Request<B>>,
}

impl<B> SendError<B> {
    /// What was wrong with the request's body, if it came in over HTTP/1.1 and its client is to
    /// blame: to be answered with the fault's status, not as a failure of the upstream.
    pub fn request_fault(&self) -> Option<Fault> {
        match &self.error {
            Error::Body(inner) => match inner.downcast_ref::<Error>() {
                Some(Error::Fault(fault)) => Some(*fault),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<B> fmt::Debug for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("error", &self.error)
            .field("sent", &self.sent)
            .field("processed", &self.processed)
            .field("request", &self.request.is_some())
            .finish()
    }
}

impl<B> fmt::Display for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for SendError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// Send a request; its body goes on being sent while the response is read.
    ///
    /// The head is written canonically: one `host` (the field, or else the URI's authority),
    /// several `cookie` fields as one, framing by the body's exact size or else the
    /// content-length of the head, fields of a hop left out. An `upgrade` field asks for an
    /// upgrade.
    ///
    /// # Errors
    /// [`SendError`], which tells whether another try is safe. The connection is closed then.
    pub async fn send<B>(
        mut self,
        request: Request<B>,
    ) -> Result<Response<ResponseBody<I, B>>, SendError<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if self.inner.requests > 0 && !self.is_idle_healthy() {
            if let Some(reclaim) = self.inner.reclaim.take() {
                reclaim.ended(None);
            }
            let request = Some(request);
            return Err(SendError {
                error: Error::Gone,
                sent: false,
                processed: false,
                request,
            });
        }
        let (parts, body) = request.into_parts();
        let mut exchange = Exchange::new(self.inner, &parts, body);
        match poll_fn(|cx| exchange.poll_response(&parts.method, cx)).await {
            Ok(response) => {
                exchange.settle();
                Ok(response.map(|()| ResponseBody {
                    exchange,
                    failed: false,
                }))
            }
            Err(error) => {
                let (sent, processed) = exchange.progress();
                let body = exchange.take_body();
                let request = body.map(|body| Request::from_parts(parts, body));
                Err(SendError {
                    error,
                    sent,
                    processed,
                    request,
                })
            }
        }
    }
}
