use super::*;

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
    let deep = format!("by{}.name=x", ".teacher".repeat(500));
    assert!(list(&deep).1.contains("deeper than 32"));
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
