mod requests;
mod responses;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::*;
use crate::frame::{self, Frames};
use crate::testing::{Steps, drain, run};

const LIBRARY: &[u8] = include_bytes!("../../../tests/data/library.pb");

fn library() -> Transcoder {
    Transcoder::new(LIBRARY, Options::default()).unwrap()
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn message(name: &str, json: Value) -> Bytes {
    let descriptor = library().pool().get_message_by_name(name).unwrap();
    DynamicMessage::deserialize(descriptor, json)
        .unwrap()
        .encode_to_vec()
        .into()
}

fn framed(messages: &[Bytes]) -> Vec<u8> {
    let mut out = BytesMut::new();
    messages
        .iter()
        .for_each(|message| frame::put(&mut out, 0, message));
    out.to_vec()
}

/// The path of the call, and its messages as JSON.
fn ask(method: &str, uri: &str, body: &str) -> Result<(String, Vec<Value>), Failure> {
    ask_of(&library(), method, uri, body)
}

fn ask_of(
    transcoder: &Transcoder,
    method: &str,
    uri: &str,
    body: &str,
) -> Result<(String, Vec<Value>), Failure> {
    let headers: &[_] = if body.is_empty() {
        &[]
    } else {
        &[("content-type", "application/json")]
    };
    let parts = parts(method, uri, headers);
    let call = transcoder.find(&parts).expect("a call")?;
    let (parts, body) =
        run(call.request(parts, Steps::call(&[body.as_bytes()], &[])))?.into_parts();
    assert_eq!(parts.method, "POST");
    assert_eq!(parts.headers[CONTENT_TYPE], "application/grpc");
    let mut frames = Frames::new(1 << 20);
    frames.feed(run(body.collect()).unwrap().to_bytes());
    let input = call.binding.method.input();
    let mut messages = Vec::new();
    while let Some(frame) = frames.take().unwrap() {
        let message = DynamicMessage::decode(input.clone(), frame.payload).unwrap();
        messages.push(serde_json::to_value(&message).unwrap());
    }
    frames.finish().unwrap();
    Ok((parts.uri.path().to_owned(), messages))
}

/// Asserts what a request becomes.
fn becomes(method: &str, uri: &str, body: &str, rpc: &str, expected: Value) {
    let (path, mut messages) = ask(method, uri, body).unwrap();
    assert_eq!(path, format!("/test.library.Library/{rpc}"));
    assert_eq!(messages.pop(), Some(expected), "{uri}");
    assert!(messages.is_empty());
}

fn refused(method: &str, uri: &str, body: &str) -> (String, String) {
    let failure = ask(method, uri, body).unwrap_err();
    assert_eq!(failure.status, 400, "{failure:?}");
    let violation = failure.violations.into_iter().next().unwrap();
    (violation.field, violation.description)
}
