//! A server that tells what it understood, and raw conversations with it.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use cloudwright_http1::server::{Connection, Whole};
use cloudwright_http1::{Error, Limits};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// What a server got out of a connection.
#[derive(Debug, Default)]
pub struct Seen {
    /// `METHOD target fields body trailers` of each request.
    pub requests: Vec<String>,
    /// Reasons of refusal.
    pub refused: Vec<&'static str>,
}

/// A runtime on this thread whose clock jumps when nothing else is to do.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// One line about a request from elsewhere.
pub async fn tell_any<B>(request: Request<B>) -> String
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let request = request.map(|body| body.map_err(|error| Error::Body(error.into())));
    tell(request).await.unwrap()
}

/// One line about a request; reads its body.
pub async fn tell<B>(request: Request<B>) -> Result<String, Error>
where
    B: http_body::Body<Data = Bytes, Error = Error> + Unpin,
{
    let (parts, body) = request.into_parts();
    let mut line = format!("{} {}", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        if name != "host" {
            line += &format!(" {name}={}", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let bytes = body.to_bytes();
    line += &format!(" [{}]", String::from_utf8_lossy(&bytes));
    for (name, value) in &trailers {
        line += &format!(" {name}={}", String::from_utf8_lossy(value.as_bytes()));
    }
    Ok(line)
}

/// Serve a connection to its end: each request is answered with the line about it.
pub async fn serve<I>(io: I, limits: Limits) -> Seen
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::new(io, Arc::new(limits));
    let mut seen = Seen::default();
    while let Some(request) = connection.accept().await {
        let answer = match request {
            Ok(request) => match tell(request).await {
                Ok(line) => {
                    seen.requests.push(line.clone());
                    Response::new(Whole::from(line))
                }
                Err(error) => {
                    seen.refused.push(error.reason());
                    let mut answer = Response::new(Whole::default());
                    *answer.status_mut() = error.status().unwrap_or_default();
                    answer
                }
            },
            Err(error) => {
                seen.refused.push(error.reason());
                continue;
            }
        };
        if connection.respond(answer).await.is_err() {
            break;
        }
    }
    seen
}

/// Send pieces, each read before the next is sent, and get everything that comes back.
pub async fn talk(pieces: &[&[u8]], limits: Limits) -> (Seen, String) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let sending = async {
        for piece in pieces {
            if client.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        let _ = client.shutdown().await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::join!(serve(server, limits), sending)
}

/// Read until what came ends with `end`.
pub async fn read_until(io: &mut DuplexStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = io
            .read_u8()
            .await
            .unwrap_or_else(|_| panic!("end of stream after {text:?}"));
        text.push(byte as char);
    }
    text
}

/// A stream out of an iterator.
pub struct Items<T>(pub T);

impl<T: Iterator + Unpin> futures_core::Stream for Items<T> {
    type Item = T::Item;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// A stream out of an iterator that is not ready at `None`.
pub struct Halting<T>(pub T);

impl<T: Iterator<Item = Option<U>> + Unpin, U> futures_core::Stream for Halting<T> {
    type Item = U;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<U>> {
        match self.0.next() {
            Some(None) => {
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            item => std::task::Poll::Ready(item.flatten()),
        }
    }
}
