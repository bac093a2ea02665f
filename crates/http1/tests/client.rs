//! What a client connection does on the wire.
#![allow(clippy::unwrap_used)]

mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use cloudwright_http1::Limits;
use cloudwright_http1::client::{Connection, Reclaim, ResponseBody};
use cloudwright_http1::server::Whole;
use common::{read_until, run};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A pool of one.
#[derive(Default)]
struct Shelf {
    kept: Mutex<Option<Connection<DuplexStream>>>,
    ended: Mutex<u32>,
}

impl Reclaim<DuplexStream> for Shelf {
    fn ended(&self, connection: Option<Connection<DuplexStream>>) {
        *self.ended.lock().unwrap() += 1;
        *self.kept.lock().unwrap() = connection;
    }
}

fn pair(shelf: &Arc<Shelf>) -> (DuplexStream, Connection<DuplexStream>) {
    let (server, io) = tokio::io::duplex(1 << 16);
    let mut connection = Connection::new(io, Arc::new(Limits::default()));
    connection.set_reclaim(Arc::clone(shelf) as Arc<dyn Reclaim<DuplexStream>>);
    (server, connection)
}

fn get(path: &str) -> Request<Whole> {
    Request::builder()
        .uri(format!("http://up{path}"))
        .body(Whole::default())
        .unwrap()
}

async fn text<B: Body<Data = Bytes> + Unpin>(
    response: Response<ResponseBody<DuplexStream, B>>,
) -> Result<String, cloudwright_http1::Error>
where
    B::Error: Into<cloudwright_http1::BoxError>,
{
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Send a GET, answer it with these bytes and (if so) the end; the body or the word of the error.
fn answered(answer: &str, end: bool) -> (Result<String, &'static str>, bool) {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let serving = async {
            read_until(&mut server, "\r\n\r\n").await;
            server.write_all(answer.as_bytes()).await.unwrap();
            if end {
                server.shutdown().await.unwrap();
            }
        };
        let asking = async {
            match connection.send(get("/")).await {
                Ok(response) => text(response).await.map_err(|error| error.reason()),
                Err(error) => Err(error.error.reason()),
            }
        };
        let (result, ()) = tokio::join!(asking, serving);
        assert_eq!(*shelf.ended.lock().unwrap(), 1, "told exactly once");
        let kept = shelf.kept.lock().unwrap().is_some();
        (result, kept)
    })
}

#[test]
fn bodies_end_where_they_say() {
    let ok = |text: &str| Ok(text.to_string());
    for (answer, end, result, kept) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            false,
            ok("abc"),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
            ok(""),
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, ok(""), true),
        (
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            false,
            ok("abc"),
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", true, ok("abc"), false),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            false,
            ok("abc"),
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
            false,
            ok("abc"),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            false,
            ok("abc"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK",
            false,
            ok("abc"),
            false,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            false,
            ok("x"),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            true,
            Err("truncated"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            true,
            Err("truncated"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n",
            false,
            Err("chunk-size"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
            false,
            Err("length-and-coding"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            false,
            Err("length-many"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
            false,
            Err("coding-unknown"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
            false,
            Err("bare-lf"),
            false,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            false,
            Err("switched"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Len",
            true,
            Err("truncated"),
            false,
        ),
        ("", true, Err("truncated"), false),
    ] {
        assert_eq!(answered(answer, end), (result, kept), "{answer}");
    }
}

#[test]
fn interim_responses_are_limited() {
    let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    assert_eq!(answered(&interims, false), (Err("interim"), false));
}

#[test]
fn requests_are_written_canonically() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let request = Request::builder()
            .method("POST")
            .uri("/p?q")
            .header("host", "h")
            .header("cookie", "a=1")
            .header("host", "evil")
            .header("expect", "100-continue")
            .header("cookie", "b=2")
            .header("connection", "close")
            .header("transfer-encoding", "gzip, chunked")
            .header("content-length", "99")
            .header("te", "trailers")
            .body(Whole::from("abc"))
            .unwrap();
        let serving = async {
            let text = read_until(&mut server, "abc").await;
            server
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
            text
        };
        let (response, text) = tokio::join!(connection.send(request), serving);
        assert_eq!(response.unwrap().status(), StatusCode::OK);
        assert_eq!(
            text,
            "POST /p?q HTTP/1.1\r\nhost: h\r\ncookie: a=1; b=2\r\ncontent-length: 3\r\n\
             te: trailers\r\nconnection: te\r\n\r\nabc"
        );
    });
}

#[test]
fn a_connection_serves_many_requests() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, mut connection) = pair(&shelf);
        for round in 0..3 {
            assert!(connection.is_idle_healthy());
            assert_eq!(connection.requests(), round);
            let serving = async {
                read_until(&mut server, "\r\n\r\n").await;
                server
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                    .await
                    .unwrap();
            };
            connection.set_reclaim(Arc::clone(&shelf) as Arc<dyn Reclaim<DuplexStream>>);
            let (response, ()) = tokio::join!(connection.send(get("/")), serving);
            assert_eq!(text(response.unwrap()).await.unwrap(), "hi");
            connection = shelf.kept.lock().unwrap().take().unwrap();
        }
    });
}

#[test]
fn a_connection_closed_while_idle_gives_the_request_back() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let serving = async {
            read_until(&mut server, "\r\n\r\n").await;
            server
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
            drop(server);
        };
        let (response, ()) = tokio::join!(connection.send(get("/")), serving);
        drop(response);
        let mut kept = shelf.kept.lock().unwrap().take().unwrap();
        assert!(!kept.is_idle_healthy());
        let error = kept.send(get("/again")).await.map(drop).unwrap_err();
        assert!(!error.sent && !error.processed);
        assert_eq!(error.request.unwrap().uri().path(), "/again");
    });
}

#[test]
fn a_silent_end_tells_that_the_server_may_have_acted() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let serving = async {
            read_until(&mut server, "\r\n\r\n").await;
            drop(server);
        };
        let (response, ()) = tokio::join!(connection.send(get("/")), serving);
        let error = response.map(drop).unwrap_err();
        assert!(error.sent && error.processed && error.request.is_some());
    });
}

/// Sends until it is stopped, and says how often it was asked.
struct Endless(Arc<Mutex<u32>>, u32);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        *self.0.lock().unwrap() += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1000])))))
    }
}

#[test]
fn an_early_response_is_read_while_the_request_goes_on() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let asked = Arc::new(Mutex::new(0));
        let body = Endless(Arc::clone(&asked), 1000);
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header("host", "h");
        let serving = async {
            read_until(&mut server, "\r\n\r\n").await;
            server
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await
                .unwrap();
            server.write_all(b"5\r\nearly\r\n").await.unwrap();
            // The rest of the request still comes, chunked and whole.
            let mut all = Vec::new();
            while !all.ends_with(b"\r\n0\r\n\r\n") {
                server.read_buf(&mut all).await.unwrap();
            }
            server.write_all(b"4\r\nlate\r\n0\r\n\r\n").await.unwrap();
            all.len()
        };
        let asking = async {
            let response = connection.send(request.body(body).unwrap()).await.unwrap();
            assert!(*asked.lock().unwrap() < 1000);
            text(response).await.unwrap()
        };
        let (text, sent) = tokio::join!(asking, serving);
        assert_eq!(text, "earlylate");
        assert_eq!(
            sent,
            1000 * ("3e8\r\n".len() + 1000 + 2) + "0\r\n\r\n".len()
        );
        assert!(shelf.kept.lock().unwrap().is_some());
    });
}

#[test]
fn a_final_response_before_the_end_of_the_request_ends_the_connection() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let request = Request::builder()
            .method("POST")
            .uri("/")
            .header("host", "h");
        let body = Endless(Arc::default(), 1000);
        let serving = async {
            read_until(&mut server, "\r\n\r\n").await;
            server
                .write_all(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
                .await
                .unwrap();
        };
        let (response, ()) = tokio::join!(connection.send(request.body(body).unwrap()), serving);
        assert_eq!(text(response.unwrap()).await.unwrap(), "no");
        assert!(shelf.kept.lock().unwrap().is_none());
        assert_eq!(*shelf.ended.lock().unwrap(), 1);
    });
}

#[test]
fn upgrades_hand_out_the_socket() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let (mut server, connection) = pair(&shelf);
        let request = Request::builder()
            .uri("/")
            .header("host", "h")
            .header("upgrade", "ws");
        let serving = async {
            let text = read_until(&mut server, "\r\n\r\n").await;
            assert!(
                text.ends_with("upgrade: ws\r\nconnection: upgrade\r\n\r\n"),
                "{text}"
            );
            server
                .write_all(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\nearly")
                .await
                .unwrap();
        };
        let request = request.body(Whole::default()).unwrap();
        let (response, ()) = tokio::join!(connection.send(request), serving);
        let response = response.unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["upgrade"], "ws");
        let (mut io, early) = response.into_body().take_upgraded().unwrap();
        assert_eq!(early, "early");
        io.write_all(b"late").await.unwrap();
        read_until(&mut server, "late").await;
        assert_eq!(*shelf.ended.lock().unwrap(), 1);
    });
}
