use http::Request;
use proptest::prelude::*;

use super::*;

fn operation(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn parse(operations: &[Vec<u8>]) -> Result<Mutations, MutationError> {
    Mutations::parse(operations.concat().into())
}

fn head(uri: &str) -> request::Parts {
    let request = Request::get(uri)
        .header("host", "old.example")
        .header("x-a", "1");
    request.body(()).unwrap().into_parts().0
}

#[test]
fn headers_are_set_added_and_removed_in_order() {
    let mut parts = head("/");
    parse(&[
        operation(2, "x-a", b"2"),
        operation(1, "x-b", b"old"),
        operation(1, "x-b", b"new"),
        operation(3, "x-c", b""),
    ])
    .unwrap()
    .apply_request(&mut parts);
    let values: Vec<_> = parts.headers.get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(parts.headers["x-b"], "new");
}

#[test]
fn the_first_line_is_changed_and_the_rest_of_the_address_stays() {
    let mut parts = head("https://old.example/a?b");
    let changes = parse(&[
        operation(16, "", b"PUT"),
        operation(17, "", b"/c"),
        operation(18, "", b"n.test:1"),
    ])
    .unwrap();
    assert!(changes.changes_target());
    changes.apply_request(&mut parts);
    assert_eq!(parts.method, "PUT");
    assert_eq!(parts.uri, "https://n.test:1/c");
    assert_eq!(parts.headers["host"], "n.test:1");
}

#[test]
fn without_an_authority_the_host_header_is_changed() {
    let mut parts = head("/a");
    parse(&[operation(18, "", b"new.example")])
        .unwrap()
        .apply_request(&mut parts);
    assert_eq!(
        (parts.uri.to_string().as_str(), &parts.headers["host"]),
        ("/a", &"new.example".parse().unwrap())
    );
}

#[test]
fn what_http_does_not_allow_is_refused() {
    for bad in [
        operation(1, "x-a", b"1\r\nx-evil: 1"),
        operation(1, "x a", b"1"),
        operation(1, "", b"1"),
        operation(16, "", b"G T"),
        operation(17, "", b"/a b"),
        operation(18, "", b"a/b"),
        operation(19, "", b"101"),
        operation(19, "", b"600"),
    ] {
        assert!(
            matches!(
                parse(std::slice::from_ref(&bad)),
                Err(MutationError::Invalid(_))
            ),
            "{bad:?}"
        );
    }
    assert_eq!(parse(&[operation(9, "", b"")]), Err(MutationError::Kind(9)));
    for name in FRAMING {
        assert!(matches!(
            parse(&[operation(1, name, b"1")]),
            Err(MutationError::Framing(_))
        ));
        assert!(matches!(
            parse(&[operation(3, name, b"")]),
            Err(MutationError::Framing(_))
        ));
    }
}

#[test]
fn an_answer_has_status_headers_and_body() {
    let lines = operation(2, "content-type", b"text/plain");
    let mut bytes = 418_u16.to_le_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(lines.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&lines);
    bytes.extend_from_slice(b"tea");
    let response = Answer::parse(bytes.into(), false).unwrap().into_response();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(response.body(), "tea");
}

proptest! {
    #[test]
    fn any_bytes_are_operations_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        if let Ok(changes) = Mutations::parse(bytes.clone()) {
            changes.apply_request(&mut head("/a"));
        }
        let _ = Answer::parse(bytes, false);
    }

    #[test]
    fn operations_that_are_cut_off_are_an_error(length in 1_usize..18) {
        let whole = operation(1, "x-added", b"yes");
        prop_assume!(length < whole.len());
        prop_assert_eq!(Mutations::parse(Bytes::from(whole[..length].to_vec())), Err(MutationError::CutOff));
    }
}
