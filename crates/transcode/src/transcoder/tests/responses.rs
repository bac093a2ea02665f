use super::*;

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
