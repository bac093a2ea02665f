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

const LIBRARY: &[u8] = include_bytes!("../../tests/data/library.pb");

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

#[test]
fn paths_queries_and_bodies_become_messages() {
    becomes(
        "GET",
        "/v1/shelves/1/books/a%20b",
        "",
        "GetBook",
        json!({"name": "shelves/1/books/a b"}),
    );
    becomes(
        "HEAD",
        "/v1/shelves/1/books/2",
        "",
        "GetBook",
        json!({"name": "shelves/1/books/2"}),
    );
    becomes(
        "GET",
        "/v1/books/x?mask=title,author.name",
        "",
        "GetBook",
        json!({"name": "x", "mask": "title,author.name"}),
    );
    becomes(
        "GET",
        "/v1/shelves/7/books?page_size=5&genres=CRIME&genres=2&by.name=A+B&by.teacher.born=-3\
         &since=2020-01-01T00:00:00Z&exact=true&token=-_8&all=true&tag=a&tag=b%26c",
        "",
        "ListBooks",
        json!({
            "parent": "shelves/7", "pageSize": 5, "genres": ["CRIME", "POETRY"],
            "by": {"name": "A B", "teacher": {"born": -3}}, "since": "2020-01-01T00:00:00Z",
            "exact": true, "token": "+/8=", "all": true, "tag": ["a", "b&c"],
        }),
    );
    becomes(
        "POST",
        "/v1/shelves/7/books?id=n",
        r#"{"title": "T", "genre": "POETRY", "author": {"name": "x"}, "pages": "12"}"#,
        "CreateBook",
        json!({
            "parent": "shelves/7", "id": "n",
            "book": {"title": "T", "genre": "POETRY", "author": {"name": "x"}, "pages": "12"},
        }),
    );
    becomes(
        "POST",
        "/v1/books:create",
        r#"{"parent": "p", "book": {"title": "T"}}"#,
        "CreateBook",
        json!({"parent": "p", "book": {"title": "T"}}),
    );
    becomes(
        "GET",
        "/files/a/b/c.txt",
        "",
        "GetFile",
        json!({"name": "a/b/c.txt"}),
    );
    becomes(
        "POST",
        "/v1/shelves/7/books",
        "",
        "CreateBook",
        json!({"parent": "shelves/7"}),
    );
}

#[test]
fn an_array_is_a_stream_of_requests() {
    let (path, messages) =
        ask("POST", "/v1/notes:collect", r#"[{"text": "a"}, {"n": 2}]"#).unwrap();
    assert_eq!(path, "/test.library.Library/Collect");
    assert_eq!(messages, [json!({"text": "a"}), json!({"n": 2})]);
    assert_eq!(
        ask("POST", "/v1/notes:chat", "").unwrap().1,
        [] as [Value; 0]
    );
    let (field, why) = refused("POST", "/v1/notes:collect", r#"[{}, {"m": 2}]"#);
    assert!(field == "[1]" && why.contains("'m'"), "{field}: {why}");
    let (field, _) = refused("POST", "/v1/notes:collect", r#"[{"n": "x"}]"#);
    assert_eq!(field, "[0].n");
    assert_eq!(refused("POST", "/v1/notes:collect", "{}").0, "");
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    let create = |body: &str| refused("POST", "/v1/shelves/7/books", body);
    assert_eq!(create(r#"{"author": {"born": "x"}}"#).0, "book.author.born");
    assert_eq!(create(r#"{"tags": ["a", 5]}"#).0, "book.tags[1]");
    let (field, why) = create(r#"{"nope": 1}"#);
    assert!(
        field.starts_with("book") && why.contains("nope"),
        "{field}: {why}"
    );
    assert_eq!(create("{").0, "book");
    assert!(create("{} x").1.contains("trailing"));
    let list = |query: &str| refused("GET", &format!("/v1/shelves/7/books?{query}"), "");
    for (query, field, why) in [
        ("page_size=x", "page_size", "\"x\" is not a 32-bit number"),
        ("pageSize=1&page_size=2", "page_size", "more than once"),
        ("nope=1", "nope", "has no field \"nope\""),
        ("by=1", "by", "a message or a map"),
        ("by.name.x=1", "by.name.x", "no fields"),
        ("genres=HORROR", "genres", "none of UNKNOWN, CRIME, POETRY"),
        ("token=%3F", "token", "base64"),
        ("parent=x", "parent", "not in the query"),
        ("since=yesterday", "since", ""),
    ] {
        let (got, description) = list(query);
        assert_eq!(got, field);
        assert!(description.contains(why), "{query}: {description}");
    }
    assert_eq!(refused("POST", "/v1/books:create?id=x", "{}").0, "id");
    assert_eq!(
        refused("POST", "/v1/shelves/7/books?book.title=x", "{}").0,
        "book.title"
    );
}

#[test]
fn failures_are_statuses_of_google() {
    let answer = ask("GET", "/v1/shelves/7/books?page_size=x", "")
        .unwrap_err()
        .response();
    assert_eq!(answer.status(), 400);
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(
        body,
        json!({
            "code": 3, "message": "page_size: \"x\" is not a 32-bit number",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {"field": "page_size", "description": "\"x\" is not a 32-bit number"},
                ],
            }],
        })
    );
}

#[test]
fn methods_types_and_sizes_have_their_own_status() {
    let answer = ask("DELETE", "/v1/books/x", "").unwrap_err().response();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["allow"].to_str().unwrap()
        ),
        (405, "GET")
    );
    let library = library();
    assert!(library.find(&parts("GET", "/v2/books", &[])).is_none());
    let grpc = [("content-type", "application/grpc+proto")];
    assert!(
        library
            .find(&parts("POST", "/v1/books:create", &grpc))
            .is_none()
    );
    for (header, value) in [
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ] {
        let parts = parts("POST", "/v1/books:create", &[(header, value)]);
        let call = library.find(&parts).unwrap().unwrap();
        let failure = run(call.request(parts, Steps::call(&[b"{}"], &[]))).unwrap_err();
        assert_eq!(failure.status, 415);
    }
    let small = Options {
        max_request: 10,
        ..Options::default()
    };
    let small = Transcoder::new(LIBRARY, small).unwrap();
    let failure = ask_of(&small, "POST", "/v1/books:create", r#"{"parent": "p"}"#).unwrap_err();
    assert_eq!(failure.status, 413);
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    text: String,
    error: Option<String>,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

fn respond(uri: &str, accept: &str, response: Response<Steps>) -> Answered {
    let parts = parts("GET", uri, &[("accept", accept)]);
    let call = library().find(&parts).unwrap().unwrap();
    run(async {
        let (parts, body) = call.response(response).await.into_parts();
        let (data, trailers, error) = drain(body).await;
        assert_eq!(trailers, None);
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(data).unwrap(),
            error,
        }
    })
}

fn grpc(pieces: &[&[u8]], trailers: &[(&'static str, &str)]) -> Response<Steps> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("x-kept", "1")
        .body(Steps::call(pieces, trailers))
        .unwrap()
}

const OK: &[(&str, &str)] = &[("grpc-status", "0"), ("grpc-message", ""), ("x-cost", "7")];

#[test]
fn one_message_becomes_one_document() {
    let book = framed(&[message(
        "test.library.Book",
        json!({"title": "T", "genre": "CRIME", "pages": "5"}),
    )]);
    let answer = respond("/v1/books/x", "", grpc(&[&book[..3], &book[3..]], OK));
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"title": "T", "genre": "CRIME", "pages": "5"})
    );
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(
        answer.headers["content-length"],
        answer.text.len().to_string()
    );
    assert_eq!(
        (&answer.headers["x-kept"], &answer.headers["x-cost"]),
        (&"1".parse().unwrap(), &"7".parse().unwrap())
    );
    assert!(answer.headers.get("grpc-status").is_none());
}

#[test]
fn a_field_can_be_the_response() {
    let list = |value: Value| framed(&[message("test.library.ListBooksResponse", value)]);
    let full = list(json!({"books": [{"title": "T"}], "next": "n"}));
    let answer = respond("/v1/shelves/1/books", "", grpc(&[&full], OK));
    assert_eq!(answer.json()[0]["title"], "T");
    let answer = respond("/v1/shelves/1/books:full", "", grpc(&[&full], OK));
    assert_eq!(
        answer.json(),
        json!({"books": [{"title": "T"}], "next": "n"})
    );
    let answer = respond("/v1/shelves/1/books", "", grpc(&[&list(json!({}))], OK));
    assert_eq!(answer.json(), json!([]));
}

#[test]
fn a_file_is_its_own_body() {
    let file = message(
        "google.api.HttpBody",
        json!({"contentType": "text/plain", "data": "aGk="}),
    );
    let answer = respond("/files/a", "", grpc(&[&framed(&[file])], OK));
    assert_eq!(
        (&answer.text[..], &answer.headers["content-type"]),
        ("hi", &"text/plain".parse().unwrap())
    );
}

#[test]
fn failed_calls_have_the_status_of_their_code() {
    let not_found = [("grpc-status", "5"), ("grpc-message", "no%20book")];
    let answer = respond("/v1/books/x", "", grpc(&[], &not_found));
    assert_eq!(
        (answer.status, answer.json()),
        (404, json!({"code": 5, "message": "no book"}))
    );
    let only = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", "8");
    let answer = respond("/v1/books/x", "", only.body(Steps::call(&[], &[])).unwrap());
    assert_eq!(answer.status, 429);
    let html = Response::builder()
        .status(502)
        .header("content-type", "text/html");
    let answer = respond(
        "/v1/books/x",
        "",
        html.body(Steps::call(&[b"<html>"], &[])).unwrap(),
    );
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (503, &"application/json".parse().unwrap())
    );
    let note = framed(&[message("test.library.Book", json!({}))]);
    for (response, status) in [
        (grpc(&[&note], &[]), 500),
        (grpc(&[], OK), 500),
        (grpc(&[&note, &note], OK), 500),
        (grpc(&[&note[..4]], OK), 500),
        (grpc(&[&[1, 0, 0, 0, 0]], OK), 500),
        (grpc(&[&[0, 255, 0, 0, 0]], OK), 500),
        (grpc(&[&[0, 0, 0, 0, 1, 0xFF]], OK), 500),
    ] {
        assert_eq!(respond("/v1/books/x", "", response).status, status);
    }
    let broken = Response::builder().header("content-type", "application/grpc");
    let broken = broken.body(Steps::new([Err("reset".to_owned())])).unwrap();
    assert_eq!(respond("/v1/books/x", "", broken).status, 503);
}

fn notes(n: i32) -> Vec<Vec<u8>> {
    (1..=n)
        .map(|n| framed(&[message("test.library.Note", json!({"n": n}))]))
        .collect()
}

fn watch(accept: &str, notes: &[Vec<u8>], end: &[(&'static str, &str)]) -> Answered {
    let pieces: Vec<&[u8]> = notes.iter().map(Vec::as_slice).collect();
    respond("/v1/shelves/1:watch", accept, grpc(&pieces, end))
}

#[test]
fn streams_are_arrays_lines_or_events() {
    let two = notes(2);
    let array = watch("", &two, OK);
    assert_eq!((array.status, &*array.text), (200, r#"[{"n":1},{"n":2}]"#));
    assert_eq!(watch("", &[], OK).text, "[]");
    let lines = watch("application/x-ndjson", &two, OK);
    assert_eq!(lines.text, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let events = watch("text/event-stream", &two, OK);
    assert_eq!(events.text, "data: {\"n\":1}\n\ndata: {\"n\":2}\n\n");
    // Several messages in one piece, one message in several.
    let all = two.concat();
    let pieces = [all[..7].to_vec(), all[7..8].to_vec(), all[8..].to_vec()];
    assert_eq!(watch("", &pieces, OK).text, r#"[{"n":1},{"n":2}]"#);
}

#[test]
fn streams_that_fail_say_so() {
    let lost = [("grpc-status", "14"), ("grpc-message", "lost")];
    let at_once = watch("", &[], &lost);
    assert_eq!(
        (at_once.status, at_once.json()),
        (503, json!({"code": 14, "message": "lost"}))
    );
    let array = watch("", &notes(1), &lost);
    assert_eq!((array.status, &*array.text), (200, r#"[{"n":1}"#));
    assert_eq!(
        array.error.as_deref(),
        Some("the call ended with status 14: lost")
    );
    let lines = watch("application/x-ndjson", &notes(1), &lost);
    assert_eq!(
        lines.text,
        "{\"n\":1}\n{\"error\":{\"code\":14,\"message\":\"lost\"}}\n"
    );
    assert_eq!(lines.error, None);
    let events = watch("text/event-stream", &notes(1), &lost);
    assert!(
        events
            .text
            .ends_with("event: error\ndata: {\"code\":14,\"message\":\"lost\"}\n\n")
    );
    let cut = watch("", &[notes(1).concat(), vec![0, 0]], OK);
    assert!(cut.error.unwrap().contains("ends within a message"));
}

#[test]
fn all_methods_are_served_when_asked_for() {
    let options = Options {
        auto_mapping: true,
        services: vec!["test.library.Library".to_owned()],
        ..Options::default()
    };
    let all = Transcoder::new(LIBRARY, options).unwrap();
    let (path, messages) = ask_of(
        &all,
        "POST",
        "/test.library.Library/Plain",
        r#"{"text": "x"}"#,
    )
    .unwrap();
    assert_eq!(
        (&*path, &messages[0]),
        ("/test.library.Library/Plain", &json!({"text": "x"}))
    );
    assert!(
        library()
            .find(&parts("POST", "/test.library.Library/Plain", &[]))
            .is_none()
    );
    assert!(all.len() > library().len());
}

#[test]
fn what_cannot_be_served_is_refused() {
    let wrong = Transcoder::new(b"\x0a\xff", Options::default()).unwrap_err();
    assert!(matches!(wrong, Error::Descriptors(_)));
    let options = Options {
        services: vec!["test.Nope".to_owned()],
        ..Options::default()
    };
    assert_eq!(
        Transcoder::new(LIBRARY, options).unwrap_err().to_string(),
        "services: \"test.Nope\" is not in the descriptor set"
    );
}

#[test]
fn json_is_written_as_asked() {
    let options: Options = serde_json::from_value(json!({
        "json": {"print_defaults": true, "proto_names": true, "enum_numbers": true},
    }))
    .unwrap();
    let transcoder = Transcoder::new(LIBRARY, options).unwrap();
    let parts = parts("GET", "/v1/shelves/1/books:full", &[]);
    let call = transcoder.find(&parts).unwrap().unwrap();
    let list = json!({"books": [{"genre": "CRIME", "lentTo": {}}]});
    let list = framed(&[message("test.library.ListBooksResponse", list)]);
    let (data, _, _) =
        run(async { drain(call.response(grpc(&[&list], OK)).await.into_body()).await });
    let body: Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(
        (&body["next"], &body["books"][0]["genre"]),
        (&json!(""), &json!(1))
    );
    assert_eq!(body["books"][0]["lent_to"]["born"], 0);
}
