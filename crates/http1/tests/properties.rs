//! Properties: how bytes are split does not matter, what is written is read the same again,
//! and no bytes make it panic, hang or grow.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use cloudwright_http1::{Limits, client};
use common::{run, serve, talk, tell};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of HTTP/1.1 that arbitrary bytes would seldom hit.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"POST /p HTTP/1.1\r\n",
        b"HEAD * HTTP/1.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Host: x\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"A: b\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"5\r\nabcde\r\n",
        b"a;x=y\r\n0123456789\r\n",
        b"0\r\n\r\n",
        b"0\r\nT: u\r\n\r\n",
        b"abcde",
        b" ",
        b":",
        b"\0",
    ];
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..6),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(token(), 0..14).prop_map(|words| words.concat()),
        vec(requests(), 1..4).prop_map(|requests| requests.concat()),
    ]
}

/// A valid request, as bytes.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    (
        "[a-z/]{0,9}",
        vec(("x-[a-z]{1,6}", "[ -~]{0,12}"), 0..4),
        body(),
    )
        .prop_map(|(path, fields, body)| {
            let mut raw = format!("POST /{path} HTTP/1.1\r\nHost: x\r\n");
            for (name, value) in fields {
                raw += &format!("{name}: {}\r\n", value.trim());
            }
            [raw.as_bytes(), &body].concat()
        })
}

/// The framing fields, the empty line and the body.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let text = || vec(any::<u8>(), 0..40);
    prop_oneof![
        Just(b"\r\n".to_vec()),
        text().prop_map(|text| {
            [
                format!("Content-Length: {}\r\n\r\n", text.len()).as_bytes(),
                &text,
            ]
            .concat()
        }),
        vec(text(), 0..4).prop_map(|chunks| {
            let mut raw = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                raw.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                raw.extend_from_slice(chunk);
                raw.extend_from_slice(b"\r\n");
            }
            raw.extend_from_slice(b"0\r\n\r\n");
            raw
        }),
    ]
}

/// A piece of a body: small, large, or large enough not to be copied.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    (b'a'..=b'z', 1_usize..20_000).prop_map(|(byte, size)| vec![byte; size])
}

/// `bytes` cut at these places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts {
        pieces.push(&bytes[from..cut]);
        from = cut;
    }
    pieces.push(&bytes[from..]);
    pieces
}

fn limits() -> Limits {
    Limits {
        max_head: 300,
        max_trailers: 60,
        max_extensions: 20,
        ..Limits::default()
    }
}

/// What came out of a response: its status, body and trailers, or the word for the error.
fn ask(answer: &[&[u8]]) -> Result<String, &'static str> {
    run(async {
        let (server, io) = tokio::io::duplex(1 << 20);
        let connection = client::Connection::new(io, Arc::new(limits()));
        let request = Request::builder().uri("http://x/");
        let request = request
            .body(cloudwright_http1::server::Whole::default())
            .unwrap();
        let (mut read, mut write) = tokio::io::split(server);
        let serving = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            read.read_u8().await.unwrap();
            for piece in answer {
                if write.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = write.shutdown().await;
        };
        let asking = async {
            let response = connection
                .send(request)
                .await
                .map_err(|error| error.error.reason())?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.reason())?;
            let trailers = body.trailers().cloned();
            Ok(format!(
                "{} {:?} {trailers:?}",
                parts.status,
                body.to_bytes()
            ))
        };
        tokio::join!(asking, serving).0
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn splits_do_not_matter_to_a_server(
        raw in message(),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let (whole, _) = run(talk(&[&raw], limits()));
        let (pieces, _) = run(talk(&split(&raw, &cuts), limits()));
        prop_assert_eq!(&whole.requests, &pieces.requests);
        prop_assert_eq!(whole.refused.is_empty(), pieces.refused.is_empty());
        let bytes: Vec<&[u8]> = raw.chunks(1).collect();
        let (bytes, _) = run(talk(&bytes, limits()));
        prop_assert_eq!(&whole.requests, &bytes.requests);
    }

    #[test]
    fn splits_do_not_matter_to_a_client(
        raw in vec(token(), 0..10).prop_map(|words| words.concat()),
        head in any::<bool>(),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let raw = if head { [b"HTTP/1.1 200 OK\r\n", &raw[..]].concat() } else { raw };
        let whole = ask(&[&raw]);
        let pieces = ask(&split(&raw, &cuts));
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if whole.is_ok() {
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn arbitrary_bytes_end(raw in vec(any::<u8>(), 0..400)) {
        run(talk(&[&raw], limits()));
        let _ = ask(&[&raw]);
    }

    #[test]
    fn what_is_taken_has_clean_lines(raw in message()) {
        let (seen, _) = run(talk(&[&raw], limits()));
        // The first head that was taken: every LF in it follows a CR, and no CR is alone.
        if !seen.requests.is_empty() {
            let end = raw.windows(4).position(|four| four == b"\r\n\r\n" ).unwrap();
            let start = raw.iter().position(|byte| !b"\r\n".contains(byte)).unwrap();
            if start < end {
                let head = &raw[start..end];
                for (at, byte) in head.iter().enumerate() {
                    prop_assert!(*byte != b'\n' || at > 0 && head[at - 1] == b'\r');
                    prop_assert!(*byte != b'\r' || head.get(at + 1) == Some(&b'\n'));
                }
            }
        }
    }

    #[test]
    fn a_request_that_is_sent_arrives(
        path in "/[a-zA-Z0-9/._~%-]{0,30}(\\?[a-z=&]{0,20})?",
        fields in vec(("x-[a-z0-9-]{1,12}", "[!-~]([ -~]{0,20}[!-~])?"), 0..12),
        chunks in vec(chunk(), 0..5),
        sized in any::<bool>(),
        trailer in proptest::option::of("[a-z]{1,9}"),
        buffer in 1_usize..70_000,
    ) {
        let total: usize = chunks.iter().map(Vec::len).sum();
        let mut request = Request::builder().method(Method::PUT).uri(&path).header("host", "x");
        for (name, value) in &fields {
            request = request.header(name, value);
        }
        if sized {
            request = request.header("content-length", total);
        }
        let mut frames: Vec<_> =
            chunks.iter().map(|chunk| http_body::Frame::data(Bytes::from(chunk.clone()))).collect();
        if let (Some(value), false) = (&trailer, sized) {
            let mut trailers = HeaderMap::new();
            trailers.insert(HeaderName::from_static("t"), HeaderValue::from_str(value).unwrap());
            frames.push(http_body::Frame::trailers(trailers));
        }
        let frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
        let body = StreamBody::new(common::Items(frames));
        let mut expected = Request::builder().method(Method::PUT).uri(&path);
        for (name, value) in &fields {
            expected = expected.header(name, value);
        }
        let line = run(async {
            let (server, io) = tokio::io::duplex(buffer);
            let connection = client::Connection::new(io, Arc::new(Limits::default()));
            let asking = async {
                let response = connection.send(request.body(body).unwrap()).await.unwrap();
                drop(response.into_body().collect().await.unwrap());
            };
            tokio::join!(serve(server, Limits::default()), asking).0.requests.remove(0)
        });
        let text: Vec<u8> = chunks.concat();
        let body = http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {});
        let mut expected = run(tell(expected.body(body).unwrap())).unwrap();
        if sized {
            expected = expected.replacen(" [", &format!(" content-length={total} ["), 1);
        }
        if let (Some(value), false) = (&trailer, sized) {
            expected += &format!(" t={value}");
        }
        prop_assert_eq!(sorted(&line), sorted(&expected));
    }

    #[test]
    fn a_response_that_is_sent_arrives(
        status in 200_u16..600,
        chunks in vec(chunk(), 0..5),
        buffer in 1_usize..70_000,
    ) {
        let frames: Vec<_> =
            chunks.iter().map(|chunk| http_body::Frame::data(Bytes::from(chunk.clone()))).collect();
        let frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
        let body = StreamBody::new(common::Items(frames));
        let (got, body) = run(async {
            let (server, io) = tokio::io::duplex(buffer);
            let connection = client::Connection::new(io, Arc::new(Limits::default()));
            let mut server =
                cloudwright_http1::server::Connection::new(server, Arc::new(Limits::default()));
            let request = Request::builder().uri("http://x/");
            let request = request.body(cloudwright_http1::server::Whole::default()).unwrap();
            let serving = async {
                server.accept().await.unwrap().unwrap();
                let response = Response::builder().status(status).body(body).unwrap();
                server.respond(response).await.unwrap();
            };
            let asking = async {
                let response = connection.send(request).await.unwrap();
                let status = response.status();
                (status, response.into_body().collect().await.unwrap().to_bytes())
            };
            tokio::join!(asking, serving).0
        });
        prop_assert_eq!(got, status);
        let expected = if matches!(status, 204 | 304) { Vec::new() } else { chunks.concat() };
        prop_assert_eq!(body, expected);
    }
}

/// The words of a line in one order: fields of the same name keep no place among others.
fn sorted(line: &str) -> Vec<&str> {
    let mut words: Vec<&str> = line.split(' ').collect();
    words.sort_unstable();
    words
}
