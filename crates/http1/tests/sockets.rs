//! Over real sockets: what the kernel adds.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use cloudwright_http1::server::{Connection, RequestBody, Whole};
use cloudwright_http1::{Limits, client};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[test]
fn a_refused_upload_still_gets_its_answer() {
    run(async {
        let (mut client, server) = pair().await;
        let uploading = async {
            // More than the buffers of the kernel hold: closing on it would reset the answer.
            let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
            let (mut read, mut write) = client.split();
            let mut answer = String::new();
            let writing = async {
                write.write_all(head).await.unwrap();
                let piece = vec![b'x'; 1 << 20];
                for _ in 0..32 {
                    write.write_all(&piece).await.unwrap();
                }
                write.shutdown().await.unwrap();
            };
            let ((), size) = tokio::join!(writing, read.read_to_string(&mut answer));
            size.unwrap();
            answer
        };
        let limits = Limits {
            max_body: Some(10),
            linger_timeout: std::time::Duration::from_secs(60),
            ..Limits::default()
        };
        let (seen, answer) = tokio::join!(common::serve(server, limits), uploading);
        assert_eq!(seen.refused, ["body-size"]);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    });
}

#[test]
fn a_closed_upstream_is_seen_while_idle() {
    run(async {
        let (io, server) = pair().await;
        let mut connection = client::Connection::new(io, Arc::new(Limits::default()));
        assert!(connection.is_idle_healthy());
        drop(server);
        poll_fn(|cx| connection.poll_unhealthy(cx)).await;
        assert!(!connection.is_idle_healthy());
    });
}

#[test]
fn an_upstream_that_speaks_unasked_is_not_used() {
    run(async {
        let (io, mut server) = pair().await;
        let mut connection = client::Connection::new(io, Arc::new(Limits::default()));
        server
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        poll_fn(|cx| connection.poll_unhealthy(cx)).await;
    });
}

/// A proxy for one connection.
async fn proxy(io: TcpStream, upstream: TcpStream) {
    let limits = Arc::new(Limits::default());
    let mut connection = Connection::new(io, Arc::clone(&limits));
    let request: Request<RequestBody<TcpStream>> = connection.accept().await.unwrap().unwrap();
    let upstream = client::Connection::new(upstream, limits);
    let response = upstream.send(request).await.unwrap();
    connection.respond(response).await.unwrap();
    assert!(connection.accept().await.is_none());
}

#[test]
fn large_bodies_go_both_ways_at_once_through_a_proxy() {
    run(async {
        let (client_io, front) = pair().await;
        let (back, mut server_io) = pair().await;
        let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        // An upstream that sends back what it gets as it gets it.
        let echo = async {
            let limits = Arc::new(Limits::default());
            let mut server = Connection::new(&mut server_io, limits);
            let request = server.accept().await.unwrap().unwrap();
            server
                .respond(Response::new(request.into_body()))
                .await
                .unwrap();
        };
        let asking = async {
            let connection = client::Connection::new(client_io, Arc::new(Limits::default()));
            let request = Request::builder().method("POST").uri("http://x/");
            let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
            let response = connection.send(request).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        let ((), (), got) = tokio::join!(proxy(front, back), echo, asking);
        assert!(got == body);
    });
}

#[test]
fn hyper_understands_us_and_we_hyper() {
    use hyper_util::rt::TokioIo;
    run(async {
        let (a, b) = pair().await;
        let serving = common::serve(b, Limits::default());
        let asking = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(a))
                .await
                .unwrap();
            let asking = async move {
                let request = Request::builder()
                    .method("PUT")
                    .uri("/p")
                    .header("host", "h");
                let body = Full::new(Bytes::from("text"));
                let response = sender
                    .send_request(request.body(body).unwrap())
                    .await
                    .unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            };
            let (connection, answer) = tokio::join!(connection, asking);
            connection.unwrap();
            answer
        };
        let (_, answer) = tokio::join!(serving, asking);
        assert_eq!(answer, "PUT /p content-length=4 [text]");

        let (a, b) = pair().await;
        let service = hyper::service::service_fn(|request| async {
            let line = common::tell_any(request).await;
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(line))))
        });
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(b), service);
        let asking = async {
            let connection = client::Connection::new(a, Arc::new(Limits::default()));
            let request = Request::builder()
                .uri("http://x/q")
                .body(Whole::default())
                .unwrap();
            let response = connection.send(request).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        };
        let (served, answer) = tokio::join!(serving, asking);
        served.unwrap();
        assert_eq!(answer, "GET /q []");
    });
}
