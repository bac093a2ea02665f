//! The bare proxy on the `h2` crate, to compare with: HTTP/2 in clear text in, one such connection out.
//!
//! `bare_h2 ADDRESS UPSTREAM` listens on ADDRESS (port 0: any) and says which.

#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Error, Reason, RecvStream, SendStream, client, server};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare_h2 ADDRESS UPSTREAM".into());
    };
    let io = TcpStream::connect(upstream).await?;
    io.set_nodelay(true)?;
    let (sender, connection) = client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .initial_max_send_streams(10_000)
        .handshake(io)
        .await?;
    tokio::spawn(connection);
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        let mut builder = server::Builder::new();
        builder
            .max_concurrent_streams(10_000)
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24);
        let sender = sender.clone();
        tokio::spawn(async move {
            let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
                return;
            };
            while let Some(request) = connection.accept().await {
                let Ok((request, respond)) = request else {
                    return;
                };
                tokio::spawn(exchange(request, respond, sender.clone()));
            }
        });
    }
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    sender: client::SendRequest<Bytes>,
) {
    if let Err(error) = forward(request, &mut respond, sender).await {
        respond.send_reset(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
    }
}

async fn forward(
    request: Request<RecvStream>,
    respond: &mut server::SendResponse<Bytes>,
    sender: client::SendRequest<Bytes>,
) -> Result<(), Error> {
    let (parts, body) = request.into_parts();
    let end = body.is_end_stream();
    let mut sender = sender.ready().await?;
    let (response, upstream) = sender.send_request(Request::from_parts(parts, ()), end)?;
    drop(sender);
    if end {
        drop((upstream, body));
        return answer(response.await?, respond).await;
    }
    tokio::try_join!(copy(body, upstream), async {
        answer(response.await?, respond).await
    })?;
    Ok(())
}

async fn answer(
    response: Response<RecvStream>,
    respond: &mut server::SendResponse<Bytes>,
) -> Result<(), Error> {
    let (parts, body) = response.into_parts();
    let end = body.is_end_stream();
    let downstream = respond.send_response(Response::from_parts(parts, ()), end)?;
    if end {
        Ok(())
    } else {
        copy(body, downstream).await
    }
}

async fn copy(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<(), Error> {
    while let Some(data) = from.data().await {
        let mut data = data?;
        let length = data.len();
        let end = from.is_end_stream();
        to.reserve_capacity(length);
        while data.len() > to.capacity() {
            let part = data.split_to(to.capacity());
            if !part.is_empty() {
                to.send_data(part, false)?;
            }
            to.reserve_capacity(data.len());
            match poll_fn(|cx| to.poll_capacity(cx)).await {
                Some(capacity) => capacity?,
                None => return Ok(()),
            };
        }
        to.send_data(data, end)?;
        from.flow_control().release_capacity(length)?;
        if end {
            return Ok(());
        }
    }
    match from.trailers().await? {
        Some(trailers) => to.send_trailers(trailers),
        None => to.send_data(Bytes::new(), true),
    }
}
