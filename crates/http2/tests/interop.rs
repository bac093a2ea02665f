//! Our ends against those of the `h2` crate: what one says, the other understands.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod bodies;

use std::future::poll_fn;

use bodies::{Pattern, drain, pipe};
use bytes::Bytes;
use cloudwright_http2::{Reason, client, server};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

const LARGE: usize = 3 << 20;

/// Echoes bodies, with their length in a trailer; `/reset` resets, `/hold` never answers.
async fn their_server(io: tokio::io::DuplexStream) {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(50)
        .handshake::<_, Bytes>(io)
        .await
        .unwrap();
    let mut held = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        match request.uri().path() {
            "/reset" => respond.send_reset(h2::Reason::REFUSED_STREAM),
            "/hold" => held.push(respond),
            "/leave" => {
                respond.send_response(Response::new(()), true).unwrap();
                connection.graceful_shutdown();
            }
            _ => {
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    let mut to = respond.send_response(Response::new(()), false).unwrap();
                    let mut octets = 0;
                    while let Some(data) = body.data().await {
                        let mut data = data.unwrap();
                        octets += data.len();
                        body.flow_control().release_capacity(data.len()).unwrap();
                        while !data.is_empty() {
                            to.reserve_capacity(data.len());
                            let room = poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
                            to.send_data(data.split_to(room.min(data.len())), false)
                                .unwrap();
                        }
                    }
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-octets", HeaderValue::from(octets));
                    to.send_trailers(trailers).unwrap();
                });
            }
        }
    }
}

async fn our_client() -> client::SendRequest {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(their_server(far));
    let (sender, connection) = client::Builder::new().connect(near);
    tokio::spawn(connection);
    sender
}

fn request(method: Method, path: &str) -> Request<()> {
    let uri = format!("http://example.com{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

#[tokio::test]
async fn large_bodies_go_both_ways_through_our_client() {
    let mut sender = our_client().await.ready().await.unwrap();
    let (response, to) = sender
        .send_request(request(Method::POST, "/"), false)
        .unwrap();
    let sending = tokio::spawn(pipe(to, Pattern::new(LARGE)));
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let (octets, trailers) = drain(response.into_body()).await.unwrap();
    sending.await.unwrap().unwrap();
    assert_eq!(octets, LARGE);
    assert_eq!(trailers.unwrap()["x-octets"], LARGE.to_string().as_str());
}

#[tokio::test]
async fn many_requests_wait_for_free_streams() {
    let sender = our_client().await;
    let mut tasks = Vec::new();
    for number in 0..500usize {
        let sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            let mut sender = sender.ready().await.unwrap();
            let request = request(Method::POST, "/many");
            let (response, mut to) = sender.send_request(request, false).unwrap();
            to.send_data(Bytes::from(vec![b'x'; number]), true).unwrap();
            let (octets, _) = drain(response.await.unwrap().into_body()).await.unwrap();
            assert_eq!(octets, number);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(sender.num_active_streams(), 0);
    assert_eq!(sender.current_max_send_streams(), 50);
}

#[tokio::test]
async fn a_refused_stream_is_surely_unprocessed() {
    let mut sender = our_client().await;
    let (response, _) = sender
        .send_request(request(Method::GET, "/reset"), true)
        .unwrap();
    let error = response.await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    assert!(error.is_unprocessed() && error.is_remote() && error.is_reset());
}

#[tokio::test]
async fn goaway_lets_streams_end_and_opens_no_more() {
    let mut sender = our_client().await;
    let (response, _) = sender
        .send_request(request(Method::GET, "/leave"), true)
        .unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    let closed = poll_fn(|cx| sender.poll_ready(cx).map(|ready| ready.err()));
    // Ready at first; an error once the GOAWAY is here.
    let mut error = closed.await;
    while error.is_none() {
        tokio::task::yield_now().await;
        error = poll_fn(|cx| sender.poll_ready(cx).map(|ready| ready.err())).await;
    }
    assert!(error.unwrap().is_unprocessed());
    assert!(sender.is_closed());
}

#[tokio::test]
async fn dropping_a_request_cancels_it_at_their_server() {
    let mut sender = our_client().await;
    let (response, to) = sender
        .send_request(request(Method::GET, "/hold"), true)
        .unwrap();
    assert_eq!(sender.num_active_streams(), 1);
    drop((response, to));
    assert_eq!(sender.num_active_streams(), 0);
    let (response, _) = sender
        .send_request(request(Method::GET, "/"), true)
        .unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
}

/// As `their_server`, ours: echoes, with a 103 in front.
async fn our_server(io: tokio::io::DuplexStream) {
    let mut connection = server::Builder::new()
        .max_concurrent_streams(50)
        .handshake(io)
        .await
        .unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() == "/leave" {
            connection.graceful_shutdown();
        }
        tokio::spawn(async move {
            if request.uri().path() == "/reset" {
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            let mut hints = Response::new(());
            *hints.status_mut() = StatusCode::EARLY_HINTS;
            respond.send_informational(hints).unwrap();
            let to = respond.send_response(Response::new(()), false).unwrap();
            pipe(to, request.into_body()).await.unwrap();
        });
    }
}

async fn their_client() -> h2::client::SendRequest<Bytes> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(our_server(far));
    let (sender, connection) = h2::client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn drain_theirs(mut body: h2::RecvStream) -> (usize, Option<HeaderMap>) {
    let mut octets = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        octets += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    (octets, body.trailers().await.unwrap())
}

#[tokio::test]
async fn large_bodies_and_trailers_go_both_ways_through_our_server() {
    let mut sender = their_client().await.ready().await.unwrap();
    let (response, mut to) = sender
        .send_request(request(Method::POST, "/"), false)
        .unwrap();
    let sending = tokio::spawn(async move {
        let mut left = Bytes::from(vec![b'y'; LARGE]);
        while !left.is_empty() {
            to.reserve_capacity(left.len());
            let room = poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
            to.send_data(left.split_to(room.min(left.len())), false)
                .unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        to.send_trailers(trailers).unwrap();
    });
    let response = response.await.unwrap();
    let (octets, trailers) = drain_theirs(response.into_body()).await;
    sending.await.unwrap();
    assert_eq!(octets, LARGE);
    assert_eq!(trailers.unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn their_requests_in_numbers_and_a_reset() {
    let sender = their_client().await;
    let mut tasks = Vec::new();
    for number in 0..300usize {
        let sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            let mut sender = sender.ready().await.unwrap();
            let (response, mut to) = sender
                .send_request(request(Method::POST, "/many"), false)
                .unwrap();
            to.send_data(Bytes::from(vec![b'x'; number]), true).unwrap();
            let (octets, _) = drain_theirs(response.await.unwrap().into_body()).await;
            assert_eq!(octets, number);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender
        .send_request(request(Method::GET, "/reset"), true)
        .unwrap();
    assert_eq!(
        response.await.unwrap_err().reason(),
        Some(h2::Reason::REFUSED_STREAM)
    );
}

#[tokio::test]
async fn our_server_leaves_when_the_last_stream_has_ended() {
    let mut sender = their_client().await.ready().await.unwrap();
    let (response, mut to) = sender
        .send_request(request(Method::POST, "/leave"), false)
        .unwrap();
    let response = response.await.unwrap();
    to.send_data(Bytes::from_static(b"after the goaway"), true)
        .unwrap();
    let (octets, _) = drain_theirs(response.into_body()).await;
    assert_eq!(octets, 16);
    // Ready until the GOAWAY is here.
    while let Ok(again) = sender.ready().await {
        sender = again;
        tokio::task::yield_now().await;
    }
}
