//! A small server over HTTP/2 in clear text, for other people's clients and checkers.
//!
//! `server ADDRESS` listens on ADDRESS (port 0: any) and says which. `GET /` answers a page, a
//! request with a body gets it back with trailers, `/hints` has a 103 first, `/big` is 1 MiB.

#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use cloudwright_http2::{Error, RecvStream, SendStream, server};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use tokio::net::TcpListener;

const PAGE: &[u8] = b"one page of a server over HTTP/2\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: server ADDRESS")?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (io, _) = listener.accept().await?;
        let mut connection = server::Builder::new()
            .enable_connect_protocol()
            .keep_alive(Duration::from_secs(30), Duration::from_secs(5))
            .serve(io, Bytes::new());
        tokio::spawn(async move {
            while let Some(request) = connection.accept().await {
                match request {
                    Ok((request, respond)) => {
                        tokio::spawn(async move {
                            if let Err(error) = answer(request, respond).await {
                                eprintln!("stream: {error}");
                            }
                        });
                    }
                    Err(error) => eprintln!("connection: {error}"),
                }
            }
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: server::SendResponse,
) -> Result<(), Error> {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(());
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    if parts.uri.path() == "/hints" {
        let mut hints = Response::new(());
        *hints.status_mut() = http::StatusCode::EARLY_HINTS;
        respond.send_informational(hints)?;
    }
    let page = match parts.uri.path() {
        "/big" => Bytes::from(vec![b'x'; 1 << 20]),
        _ => Bytes::from_static(PAGE),
    };
    if parts.method == Method::HEAD {
        let length = HeaderValue::from(page.len());
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        return respond.send_response(response, true).map(drop);
    }
    if !body.is_end_stream() {
        return echo(body, respond.send_response(response, false)?).await;
    }
    let length = HeaderValue::from(page.len());
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    let mut to = respond.send_response(response, false)?;
    send(&mut to, page).await?;
    to.send_data(Bytes::new(), true)
}

async fn echo(mut body: RecvStream, mut to: SendStream) -> Result<(), Error> {
    let mut octets = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        let length = data.len();
        send(&mut to, data).await?;
        body.flow_control().release_capacity(length)?;
        octets += length;
    }
    let mut trailers = body.trailers().await?.unwrap_or_else(HeaderMap::new);
    trailers.insert("x-octets", HeaderValue::from(octets));
    to.send_trailers(trailers)
}

async fn send(to: &mut SendStream, mut data: Bytes) -> Result<(), Error> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let Some(capacity) = poll_fn(|cx| to.poll_capacity(cx)).await else {
            return Ok(());
        };
        let part = data.split_to(data.len().min(capacity?));
        to.send_data(part, false)?;
    }
    Ok(())
}
