//! Our ends against each other, and against what a bare peer does: ends, limits, timers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by a panic"
)]

mod bodies;

use std::future::{Future, poll_fn};
use std::time::Duration;

use bodies::{Pattern, drain, pipe};
use bytes::Bytes;
use cloudwright_http2::{Protocol, Reason, client, server};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

type Served = (client::SendRequest, server::Connection<DuplexStream>);

/// A client whose connection runs, and a server's connection that the test runs.
fn pair(builder: &server::Builder) -> Served {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (sender, connection) = client::Builder::new().connect(near);
    tokio::spawn(connection);
    (sender, builder.serve(far, Bytes::new()))
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://example.com{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// Run a connection whose requests are all taken already.
fn run(mut connection: server::Connection<DuplexStream>) {
    tokio::spawn(async move { while let Some(Ok(_)) = connection.accept().await {} });
}

#[tokio::test]
async fn bodies_of_http_body_and_trailers_arrive() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (response, to) = sender
        .send_request(request(Method::POST, "/a?b=c"), false)
        .unwrap();
    let sending = tokio::spawn(pipe(to, Pattern::new(400_000)));
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    assert_eq!(request.uri(), "http://example.com/a?b=c");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 400_000);
    sending.await.unwrap().unwrap();
    let mut to = respond.send_response(Response::new(()), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    to.send_data(Bytes::from_static(b"x"), false).unwrap();
    to.send_trailers(trailers).unwrap();
    let (octets, trailers) = drain(response.await.unwrap().into_body()).await.unwrap();
    assert_eq!(octets, 1);
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn informational_responses_come_first() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (mut response, _) = sender
        .send_request(request(Method::GET, "/"), true)
        .unwrap();
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    let mut hints = Response::new(());
    *hints.status_mut() = StatusCode::EARLY_HINTS;
    respond.send_informational(hints).unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    let first = poll_fn(|cx| response.poll_informational(cx)).await;
    assert_eq!(first.unwrap().unwrap().status(), StatusCode::EARLY_HINTS);
    assert!(
        poll_fn(|cx| response.poll_informational(cx))
            .await
            .is_none()
    );
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_head_response_has_a_length_and_no_body() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (response, _) = sender
        .send_request(request(Method::HEAD, "/"), true)
        .unwrap();
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    let head = Response::builder()
        .header("content-length", "5")
        .body(())
        .unwrap();
    respond.send_response(head, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-length"], "5");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn a_websocket_is_opened_where_both_ends_know_how() {
    let mut builder = server::Builder::new();
    builder.enable_connect_protocol();
    let (mut sender, mut connection) = pair(&builder);
    let connect = || {
        let mut connect = request(Method::CONNECT, "/chat");
        connect
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        connect
    };
    assert!(
        sender
            .send_request(connect(), false)
            .unwrap_err()
            .is_unprocessed()
    );
    let (first, _) = sender
        .send_request(request(Method::GET, "/"), true)
        .unwrap();
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    respond.send_response(Response::new(()), true).unwrap();
    let serving = tokio::spawn(async move {
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        run(connection);
        let protocol = request.extensions().get::<Protocol>().unwrap().clone();
        let to = respond.send_response(Response::new(()), false).unwrap();
        pipe(to, request.into_body()).await.unwrap();
        protocol
    });
    first.await.unwrap();
    assert!(sender.is_extended_connect_protocol_enabled());
    let (response, mut to) = sender.send_request(connect(), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    to.send_data(Bytes::from_static(b"frame"), false).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "frame");
    to.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none());
    assert_eq!(serving.await.unwrap().as_str(), "websocket");
}

#[tokio::test]
async fn capacity_is_bounded_while_the_peer_reads_nothing() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (response, _) = sender
        .send_request(request(Method::GET, "/"), true)
        .unwrap();
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    let mut to = respond.send_response(Response::new(()), false).unwrap();
    let mut response = response.await.unwrap().into_body();
    let mut sent = 0;
    while to.capacity() > 0 {
        let room = to.capacity();
        to.send_data(Bytes::from(vec![0; room]), false).unwrap();
        sent += room;
    }
    assert!(sent <= 65_535, "{sent}");
    let more = tokio::spawn(async move {
        let room = poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
        (room, to)
    });
    let data = response.data().await.unwrap().unwrap();
    let mut read = data.len();
    while read < sent {
        read += response.data().await.unwrap().unwrap().len();
    }
    assert!(!more.is_finished(), "nothing was given back yet");
    response.flow_control().release_capacity(read).unwrap();
    let (room, _to) = more.await.unwrap();
    assert!(room > 0);
}

#[tokio::test]
async fn resets_reach_the_other_end_and_its_waiting_task() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (response, mut to) = sender
        .send_request(request(Method::POST, "/"), false)
        .unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    let waiting = tokio::spawn(async move {
        let reason = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
        (
            reason,
            respond.send_response(Response::new(()), true).is_err(),
        )
    });
    tokio::task::yield_now().await;
    to.send_reset(Reason::CANCEL);
    assert_eq!(waiting.await.unwrap(), (Reason::CANCEL, true));
    let error = request.into_body().data().await.unwrap().unwrap_err();
    assert!(error.is_remote() && error.reason() == Some(Reason::CANCEL));
    assert_eq!(response.await.unwrap_err().reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn an_early_whole_response_survives_the_reset_behind_it() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (response, mut to) = sender
        .send_request(request(Method::POST, "/"), false)
        .unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"enough"), true).unwrap();
    drop((request, respond, body));
    let reason = poll_fn(|cx| to.poll_reset(cx)).await.unwrap();
    assert_eq!(reason, Reason::NO_ERROR);
    let (octets, _) = drain(response.await.unwrap().into_body()).await.unwrap();
    assert_eq!(octets, 6);
}

#[tokio::test]
async fn streams_above_the_last_one_of_a_goaway_are_unprocessed() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let (mut sender, connection) = client::Builder::new().connect(near);
    let running = tokio::spawn(connection);
    let (first, _first) = sender
        .send_request(request(Method::GET, "/1"), true)
        .unwrap();
    let (second, _second) = sender
        .send_request(request(Method::GET, "/2"), true)
        .unwrap();
    // SETTINGS; GOAWAY with stream 1 as the last; then the connection breaks.
    far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    far.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
        .await
        .unwrap();
    let error = second.await.unwrap_err();
    assert!(error.is_unprocessed() && error.is_go_away() && error.is_remote());
    drop(far);
    let error = first.await.unwrap_err();
    assert!(!error.is_unprocessed() && error.is_io(), "{error}");
    assert!(running.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_given_up() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut builder = client::Builder::new();
    builder.keep_alive(Duration::from_secs(30), Duration::from_secs(5));
    let (sender, connection) = builder.connect(near);
    let running = tokio::spawn(connection);
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.io_error_kind(), Some(std::io::ErrorKind::TimedOut));
    assert_eq!(error.cause(), "keep_alive");
    let mut octets = Vec::new();
    far.read_to_end(&mut octets).await.unwrap();
    assert!(
        octets.ends_with(b"\0\0\x08\x06\0\0\0\0\0keepaliv"),
        "{octets:?}"
    );
    drop(sender);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_is_kept() {
    let mut builder = server::Builder::new();
    builder.keep_alive(Duration::from_secs(30), Duration::from_secs(5));
    let (mut sender, connection) = pair(&builder);
    run(connection);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!sender.is_closed());
    poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_not_read_for_ever() {
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(1_000_000);
    let mut connection = builder.serve(far, Bytes::new());
    let serving = tokio::spawn(async move {
        let mut number = 0;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            number += 1;
            let text = format!("{number:0900}");
            let head = Response::builder().header("x-text", text).body(()).unwrap();
            respond.send_response(head, true).unwrap();
        }
    });
    near.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut taken = 0u32;
    for number in 0..100_000u32 {
        let id = (number * 2 + 1).to_be_bytes();
        let mut frame = vec![0, 0, 4, 1, 5];
        frame.extend_from_slice(&id);
        frame.extend_from_slice(&[0x82, 0x86, 0x84, 0x90]);
        let waits = Duration::from_secs(2);
        // Only where nothing more is read does this not end.
        match tokio::time::timeout(waits, near.write_all(&frame)).await {
            Ok(written) => written.unwrap(),
            Err(_) => break,
        }
        taken = number;
    }
    assert!(taken < 20_000, "{taken} requests without one answer taken");
    serving.abort();
}

#[tokio::test]
async fn an_abrupt_shutdown_says_why() {
    let (mut sender, mut connection) = pair(&server::Builder::new());
    let (response, _) = sender
        .send_request(request(Method::GET, "/"), true)
        .unwrap();
    let accepted = connection.accept().await.unwrap().unwrap();
    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    let error = connection.accept().await.unwrap().err().unwrap();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    assert!(connection.accept().await.is_none());
    let error = response.await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    drop(accepted);
}

#[tokio::test]
async fn a_waiting_request_that_is_given_up_holds_nobody_up() {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(1);
    let (mut sender, mut connection) = pair(&builder);
    let (first, _) = sender
        .send_request(request(Method::GET, "/"), true)
        .unwrap();
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    run(connection);
    let mut given_up = Box::pin(sender.clone().ready());
    while poll_fn(|cx| std::task::Poll::Ready(given_up.as_mut().poll(cx).is_ready())).await {
        // The server's limit is not known yet.
        tokio::task::yield_now().await;
        given_up = Box::pin(sender.clone().ready());
    }
    let patient = tokio::spawn(sender.clone().ready());
    tokio::task::yield_now().await;
    respond.send_response(Response::new(()), true).unwrap();
    first.await.unwrap();
    // Woken or not: it goes without opening a stream.
    drop(given_up);
    assert!(patient.await.unwrap().is_ok());
}
