//! How a server connection answers.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use cloudwright_http1::Limits;
use cloudwright_http1::server::{Connection, Whole};
use common::{read_until, run};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A server connection and the client's end of it.
fn pair() -> (DuplexStream, Connection<DuplexStream>) {
    let (client, server) = tokio::io::duplex(1 << 16);
    (client, Connection::new(server, Arc::new(Limits::default())))
}

#[test]
fn continue_is_sent_when_the_body_is_wanted() {
    run(async {
        let (mut client, mut server) = pair();
        let head =
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head).await.unwrap();
        let request = server.accept().await.unwrap().unwrap();
        assert!(!request.headers().contains_key("expect"));
        let using = async {
            read_until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
            client.write_all(b"hi").await.unwrap();
        };
        let (line, ()) = tokio::join!(common::tell(request), using);
        assert_eq!(line.unwrap(), "POST / content-length=2 [hi]");
        server
            .respond(Response::new(Whole::default()))
            .await
            .unwrap();
        read_until(&mut client, "content-length: 0\r\n\r\n").await;
    });
}

#[test]
fn a_body_never_asked_for_closes_the_connection() {
    run(async {
        let (mut client, mut server) = pair();
        let head =
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head).await.unwrap();
        let _request = server.accept().await.unwrap().unwrap();
        server
            .respond(Response::new(Whole::from("no")))
            .await
            .unwrap();
        let (end, answer) = tokio::join!(server.accept(), async {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.map(|_| answer)
        });
        assert!(end.is_none());
        let answer = answer.unwrap();
        assert_eq!(
            answer,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
        );
    });
}

#[test]
fn the_caller_can_close() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let response = Response::builder().header("connection", "x, Close");
        server
            .respond(response.body(Whole::from("ok")).unwrap())
            .await
            .unwrap();
        assert!(server.accept().await.is_none());
        let answer = read_until(&mut client, "ok").await;
        assert_eq!(
            answer,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        );
    });
}

#[test]
fn interim_responses_come_before_the_final_one() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let hints = Response::builder().status(103).header("link", "a");
        server
            .respond(hints.body(Whole::default()).unwrap())
            .await
            .unwrap();
        server
            .respond(Response::new(Whole::from("ok")))
            .await
            .unwrap();
        let answer = read_until(&mut client, "ok").await;
        assert_eq!(
            answer,
            "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        );
    });
}

#[test]
fn a_body_that_fails_ends_the_connection_before_its_end() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let frames = [
            Some(Ok(Frame::data(Bytes::from("abc")))),
            None,
            Some(Err("broken")),
        ];
        let body = StreamBody::new(common::Halting(frames.into_iter()));
        let error = server.respond(Response::new(body)).await.unwrap_err();
        assert_eq!(error.reason(), "body");
        assert!(!server.is_answerable());
        assert!(server.accept().await.is_none());
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n3\r\nabc\r\n"), "{answer}");
    });
}

#[test]
fn a_body_that_fails_at_once_can_be_answered_for() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let frames = [
            Some(Ok(Frame::data(Bytes::from("abc")))),
            Some(Err("broken")),
        ];
        let body = StreamBody::new(common::Halting(frames.into_iter()));
        assert!(server.respond(Response::new(body)).await.is_err());
        assert!(server.is_answerable());
        let response = Response::builder()
            .status(502)
            .body(Whole::default())
            .unwrap();
        server.respond(response).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(
            answer,
            "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
        );
    });
}

#[test]
fn a_response_of_another_length_than_it_said_is_an_error() {
    for (length, text) in [("2", "abc"), ("4", "abc")] {
        run(async {
            let (mut client, mut server) = pair();
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            server.accept().await.unwrap().unwrap();
            let frames = [Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(
                text,
            )))];
            let body = StreamBody::new(common::Items(frames.into_iter()));
            let response = Response::builder().header("content-length", length);
            let error = server
                .respond(response.body(body).unwrap())
                .await
                .unwrap_err();
            assert_eq!(error.reason(), "length");
        });
    }
}

#[test]
fn bodies_of_unknown_length_are_chunked_with_trailers() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let large = Bytes::from(vec![b'x'; 10_000]);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [
            Frame::data(Bytes::from("abc")),
            Frame::data(large),
            Frame::trailers(trailers),
        ];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        let body = StreamBody::new(common::Items(frames.into_iter()));
        server.respond(Response::new(body)).await.unwrap();
        let answer = read_until(&mut client, "grpc-status: 0\r\n\r\n").await;
        let x = "x".repeat(10_000);
        assert_eq!(
            answer,
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n2710\r\n{x}\r\n0\r\ngrpc-status: 0\r\n\r\n"
            )
        );
    });
}

#[test]
fn head_and_304_tell_a_length_and_send_no_body() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        server
            .respond(Response::new(Whole::from("12345")))
            .await
            .unwrap();
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(answer, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");

        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        server.respond(response).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert_eq!(answer, "HTTP/1.1 204 No Content\r\n\r\n");
    });
}

#[test]
fn upgrades_hand_out_the_socket_and_what_was_read_ahead() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(
                b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\nearly",
            )
            .await
            .unwrap();
        let request = server.accept().await.unwrap().unwrap();
        assert_eq!(request.headers()["upgrade"], "ws");
        let response = Response::builder().status(101).header("upgrade", "ws");
        server
            .respond(response.body(Whole::default()).unwrap())
            .await
            .unwrap();
        assert!(server.accept().await.is_none());
        assert!(server.is_upgraded());
        let (mut io, early) = server.into_parts().unwrap();
        assert_eq!(early, "early");
        io.write_all(b"late").await.unwrap();
        let answer = read_until(&mut client, "late").await;
        assert_eq!(
            answer,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: ws\r\nconnection: upgrade\r\n\r\nlate"
        );
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let large = Whole::from(vec![b'x'; 1 << 20]);
        let error = server.respond(Response::new(large)).await.unwrap_err();
        assert!(error.to_string().contains("timed out"), "{error}");
        drop(client);
        assert!(server.accept().await.is_none());
    });
}
