use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, StatusCode};

use super::*;
use crate::frame::{Frames, TRAILERS};
use crate::testing::{Steps, drain, headers, run};

const MESSAGE: &[u8] = &[0, 0, 0, 0, 2, 7, 8];

fn kind(text: &str) -> Option<Web> {
    Web::of(&headers(&[("content-type", text)]))
}

#[test]
fn content_types() {
    let web = |text, suffix: &str| {
        Some(Web {
            text,
            suffix: suffix.to_owned(),
        })
    };
    assert_eq!(kind("application/grpc-web"), web(false, ""));
    assert_eq!(kind("application/grpc-web+proto"), web(false, "+proto"));
    assert_eq!(
        kind("Application/gRPC-web-text+proto; charset=x"),
        web(true, "+proto")
    );
    for other in [
        "application/grpc",
        "application/grpc-website",
        "application/json",
    ] {
        assert_eq!(kind(other), None, "{other}");
    }
}

fn request(kind_of: &str, pieces: &[&[u8]]) -> (request::Parts, Vec<u8>, Option<String>) {
    let web = kind(kind_of).unwrap();
    let request = Request::post("/a.B/C").header("content-type", kind_of);
    let request = request.header("content-length", "7").body(()).unwrap();
    let (parts, body) = web.request(request.into_parts().0, Steps::call(pieces, &[]));
    let (data, trailers, error) = run(drain(body));
    assert_eq!(trailers, None);
    (parts, data, error)
}

#[test]
fn requests_become_grpc() {
    let (parts, data, error) = request(
        "application/grpc-web+proto",
        &[&MESSAGE[..3], &MESSAGE[3..]],
    );
    assert_eq!((data, error), (MESSAGE.to_vec(), None));
    assert_eq!(parts.headers["content-type"], "application/grpc+proto");
    assert_eq!(parts.headers["te"], "trailers");
    assert!(parts.headers.get("content-length").is_none());
    let text = STANDARD.encode(MESSAGE);
    let (_, data, error) = request(
        "application/grpc-web-text",
        &[&text.as_bytes()[..5], &text.as_bytes()[5..]],
    );
    assert_eq!((data, error), (MESSAGE.to_vec(), None));
    for broken in ["AAA", "????", "AAAA="] {
        let (_, _, error) = request("application/grpc-web-text", &[broken.as_bytes()]);
        assert_eq!(error.as_deref(), Some("the body is not base64"), "{broken}");
    }
}

fn respond(
    kind_of: &str,
    answer_kind: &str,
    body: Steps,
) -> (response::Parts, Vec<u8>, Option<String>) {
    let answer = Response::builder()
        .header("content-type", answer_kind)
        .header("content-length", "7")
        .body(())
        .unwrap();
    let (parts, body) = kind(kind_of).unwrap().response(answer.into_parts().0, body);
    let (data, trailers, error) = run(drain(body));
    assert_eq!(trailers, None, "browsers cannot read them");
    (parts, data, error)
}

#[test]
fn responses_end_with_their_trailers() {
    let end = [("grpc-status", "5"), ("grpc-message", "no")];
    let body = || Steps::call(&[MESSAGE, MESSAGE], &end);
    let (parts, data, _) = respond("application/grpc-web", "application/grpc", body());
    assert_eq!(parts.headers["content-type"], "application/grpc-web");
    assert!(parts.headers.get("content-length").is_none());
    let mut frames = Frames::new(100);
    frames.feed(data.clone().into());
    assert_eq!(frames.take().unwrap().unwrap().payload, &MESSAGE[5..]);
    frames.take().unwrap().unwrap();
    let last = frames.take().unwrap().unwrap();
    assert_eq!(last.flags, TRAILERS);
    assert_eq!(last.payload, "grpc-status: 5\r\ngrpc-message: no\r\n");
    assert!(frames.finish().is_ok());

    let (parts, text, _) = respond(
        "application/grpc-web-text+proto",
        "application/grpc",
        body(),
    );
    assert_eq!(
        parts.headers["content-type"],
        "application/grpc-web-text+proto"
    );
    let mut decoder = text::Decoder::default();
    assert_eq!(decoder.feed(&text).unwrap(), data);
    assert!(decoder.is_whole());
}

#[test]
fn each_message_of_text_is_whole_by_itself() {
    // 7 bytes are no multiple of three: padded, not kept back until the next message.
    let (_, text, _) = respond(
        "application/grpc-web-text",
        "application/grpc",
        Steps::call(&[MESSAGE], &[]),
    );
    assert_eq!(text, STANDARD.encode(MESSAGE).into_bytes());
}

#[test]
fn what_is_no_grpc_and_what_breaks_passes_through() {
    let html = Steps::call(&[b"<html>"], &[]);
    let (parts, data, _) = respond("application/grpc-web-text", "text/html", html);
    assert_eq!(
        (&parts.headers["content-type"], &data[..]),
        (&"text/html".parse().unwrap(), &b"<html>"[..])
    );
    assert_eq!(
        (parts.status, parts.headers.contains_key("content-length")),
        (StatusCode::OK, true)
    );
    let broken = Steps::new([Err("reset".to_owned())]);
    let (_, _, error) = respond("application/grpc-web", "application/grpc", broken);
    assert_eq!(error.as_deref(), Some("reset"));
}
