//! What a server connection does on the wire.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cloudwright_http1::Limits;
use cloudwright_http1::server::{Connection, Whole};
use common::{read_until, run, talk};
use http::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

fn one(raw: &str) -> (common::Seen, String) {
    run(talk(&[raw.as_bytes()], Limits::default()))
}

/// A server connection and the client's end of it.
fn pair() -> (DuplexStream, Connection<DuplexStream>) {
    let (client, server) = tokio::io::duplex(1 << 16);
    (client, Connection::new(server, Arc::new(Limits::default())))
}

#[test]
fn answers_a_request() {
    let (seen, answer) = one("GET /a?b=c HTTP/1.1\r\nHost: x\r\nA: 1\r\nB:  2 \r\n\r\n");
    assert_eq!(seen.requests, ["GET /a?b=c a=1 b=2 []"]);
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\nGET /a?b=c a=1 b=2 []"
    );
}

#[test]
fn answers_pipelined_requests_in_order() {
    let (seen, answer) = one(
        "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
         POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;e=f\r\ndef\r\n0\r\nT: 1\r\n\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let lines = [
        "POST /1 content-length=3 [abc]",
        "POST /2 [def] t=1",
        "GET /3 []",
    ];
    assert_eq!(seen.requests, lines);
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3);
}

#[test]
fn takes_fields_of_the_hop_off() {
    let (seen, _) = one(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Foo\r\nKeep-Alive: 3\r\nFoo: 1\r\n\
         TE: gzip\r\nProxy-Connection: x\r\nUpgrade: websocket\r\nBar: 2\r\n\r\n",
    );
    assert_eq!(seen.requests, ["GET / bar=2 []"]);
}

#[test]
fn never_upgrades_to_h2c() {
    let (seen, _) = one(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(seen.requests, ["GET / []"]);
}

#[test]
fn closes_when_told() {
    let (seen, answer) = one(
        "GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(seen.requests, ["GET /1 []"]);
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn http_1_0_keeps_only_when_asked() {
    let (seen, answer) =
        one("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /3");
    assert_eq!(seen.requests, ["GET /1 []", "GET /2 []"]);
    assert!(
        answer.contains("\r\nconnection: keep-alive\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn answers_malformed_requests_with_their_status() {
    let (seen, answer) = one("GET / HTTP/1.1\r\nHost: x\r\nA : 1\r\n\r\nGET / HTTP/1.1\r\n");
    assert_eq!(seen.refused, ["field-name"]);
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn absolute_targets_become_paths() {
    let (seen, _) = one("GET http://X:80/p?q HTTP/1.1\r\nHost: x\r\n\r\n\
         OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nGET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(seen.requests, ["GET /p?q []", "OPTIONS * []"]);
    assert_eq!(seen.refused, ["host-mismatch"]);
}

#[test]
fn limits_have_their_statuses() {
    let limits = || Limits {
        max_head: 1000,
        max_target: 100,
        max_fields: 5,
        max_body: Some(10),
        max_trailers: 50,
        max_extensions: 8,
        ..Limits::default()
    };
    let long = "x".repeat(1000);
    let fields = "a: b\r\n".repeat(6);
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (raw, status, word) in [
        (format!("GET /{long} HTTP/1.1\r\n"), "414", "target-size"),
        (
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", &long[..100]),
            "414",
            "target-size",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\na: {long}"),
            "431",
            "head-size",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"),
            "431",
            "field-count",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n".into(),
            "413",
            "body-size",
        ),
        (format!("{chunked}b\r\n01234567890\r\n"), "413", "body-size"),
        (
            format!("{chunked}1;aaaa\r\nx\r\n1;bbbb\r\nx\r\n"),
            "400",
            "chunk-extension",
        ),
        (
            format!("{chunked}0\r\na: {}\r\n\r\n", &long[..50]),
            "400",
            "trailer-size",
        ),
    ] {
        let (seen, answer) = run(talk(&[raw.as_bytes()], limits()));
        assert_eq!(seen.refused, [word], "{raw}");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{raw}: {answer}"
        );
    }
}

#[test]
fn a_head_that_does_not_come_is_408() {
    run(async {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
        let mut answer = String::new();
        let (seen, read) = tokio::join!(
            common::serve(server, Limits::default()),
            client.read_to_string(&mut answer)
        );
        read.unwrap();
        assert_eq!(seen.refused, ["head-timeout"]);
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    run(async {
        let (mut client, server) = tokio::io::duplex(1024);
        let begin = tokio::time::Instant::now();
        let serving = common::serve(server, Limits::default());
        let using = async {
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            read_until(&mut client, "[]").await;
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            assert!(rest.is_empty());
        };
        tokio::join!(serving, using);
        let idle = Limits::default().idle_timeout;
        assert!((idle..=idle * 3 / 2 + Duration::from_millis(10)).contains(&begin.elapsed()));
    });
}

#[test]
fn a_body_that_does_not_come_is_408() {
    run(async {
        let (mut client, server) = tokio::io::duplex(1024);
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc";
        client.write_all(head).await.unwrap();
        let mut answer = String::new();
        let (seen, read) = tokio::join!(
            common::serve(server, Limits::default()),
            client.read_to_string(&mut answer)
        );
        read.unwrap();
        assert_eq!(seen.refused, ["body-timeout"]);
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn a_body_that_comes_slowly_is_taken() {
    run(async {
        let (mut client, mut server) = pair();
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
        client.write_all(head).await.unwrap();
        let request = server.accept().await.unwrap().unwrap();
        let slow = async {
            for byte in b"123456789" {
                tokio::time::sleep(Limits::default().body_timeout * 9 / 10).await;
                client.write_all(&[*byte]).await.unwrap();
            }
        };
        let (line, ()) = tokio::join!(common::tell(request), slow);
        assert!(line.unwrap().ends_with("[123456789]"));
    });
}

#[test]
fn an_unread_body_is_skipped() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(
                b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd\
                GET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
            )
            .await
            .unwrap();
        let stale = server.accept().await.unwrap().unwrap();
        server
            .respond(Response::new(Whole::default()))
            .await
            .unwrap();
        let next = server.accept().await.unwrap().unwrap();
        assert_eq!(next.uri(), "/2");
        assert_eq!(
            stale.into_body().collect().await.unwrap_err().reason(),
            "gone"
        );
    });
}

#[test]
fn a_large_unread_body_ends_the_connection() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\nabcd")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        server
            .respond(Response::new(Whole::default()))
            .await
            .unwrap();
        let ending = async {
            read_until(&mut client, "\r\n\r\n").await;
            assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
            drop(client);
        };
        let (end, ()) = tokio::join!(server.accept(), ending);
        assert!(end.is_none());
    });
}

#[test]
fn shutdown_ends_an_idle_connection_at_once() {
    run(async {
        let (mut client, mut server) = pair();
        let closer = server.closer();
        let closing = async {
            tokio::task::yield_now().await;
            closer.graceful_shutdown();
        };
        let (end, ()) = tokio::join!(server.accept(), closing);
        assert!(end.is_none());
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
    });
}

#[test]
fn shutdown_lets_the_request_under_way_finish() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        server.closer().graceful_shutdown();
        server
            .respond(Response::new(Whole::from("ok")))
            .await
            .unwrap();
        assert!(server.accept().await.is_none());
        let answer = read_until(&mut client, "ok").await;
        assert!(answer.contains("connection: close"), "{answer}");
    });
}

#[test]
fn a_client_that_leaves_is_noticed() {
    run(async {
        let (mut client, mut server) = pair();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        server.accept().await.unwrap().unwrap();
        let waiting = async {
            tokio::task::yield_now().await;
            drop(client);
        };
        tokio::join!(server.closed(), waiting);
    });
}
