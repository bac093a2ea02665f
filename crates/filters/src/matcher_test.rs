use http::Request;

use super::*;

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn matcher(json: &str) -> Matcher {
    Matcher::new(&serde_json::from_str(json).unwrap()).unwrap()
}

#[test]
fn nothing_declared_matches_everything() {
    assert!(matcher("{}").is_match(&parts("PUT", "/x", &[])));
}

#[test]
fn paths_are_exact_or_prefixes_or_expressions_and_without_the_query() {
    let matcher = matcher(r#"{"paths":["/a","/api/*","~^/v[0-9]+/x$"]}"#);
    for (path, expected) in [
        ("/a", true),
        ("/a?x=/api/", true),
        ("/ab", false),
        ("/api/", true),
        ("/api/b/c", true),
        ("/api", false),
        ("/v12/x", true),
        ("/v/x", false),
    ] {
        assert_eq!(
            matcher.is_match(&parts("GET", path, &[])),
            expected,
            "{path}"
        );
    }
}

#[test]
fn hosts_are_compared_without_case_and_port() {
    let matcher = matcher(r#"{"hosts":["shop.example","*.lab.example","[::1]"]}"#);
    for (host, expected) in [
        ("shop.example", true),
        ("SHOP.example:8080", true),
        ("a.shop.example", false),
        ("a.lab.example", true),
        ("a.b.Lab.Example:1", true),
        ("lab.example", false),
        (".lab.example", false),
        ("evil-lab.example", false),
        ("[::1]:80", true),
        ("", false),
    ] {
        let head = parts("GET", "/", &[("host", host)]);
        assert_eq!(matcher.is_match(&head), expected, "{host}");
    }
    assert!(matcher.is_match(&parts("GET", "https://shop.example:8443/", &[])));
    assert!(!matcher.is_match(&parts("GET", "/", &[])), "no host at all");
}

#[test]
fn headers_are_present_absent_exact_prefix_or_expression() {
    let matcher = matcher(
        r#"{"headers":{"x-a":true,"x-b":false,"x-c":"one","x-d":"tw*","x-e":"~^[0-9]+$"}}"#,
    );
    let good = [
        ("x-a", ""),
        ("x-c", "zero"),
        ("x-c", "one"),
        ("x-d", "two"),
        ("x-e", "42"),
    ];
    assert!(matcher.is_match(&parts("GET", "/", &good)));
    for (name, value) in [
        ("x-a", None),
        ("x-c", None),
        ("x-d", Some("t")),
        ("x-e", Some("4a")),
    ] {
        let mut other: Vec<_> = good
            .into_iter()
            .filter(|(known, _)| *known != name)
            .collect();
        other.extend(value.map(|value| (name, value)));
        assert!(!matcher.is_match(&parts("GET", "/", &other)), "{name}");
    }
    let with_b: Vec<_> = good.into_iter().chain([("x-b", "1")]).collect();
    assert!(!matcher.is_match(&parts("GET", "/", &with_b)));
}

#[test]
fn methods_are_one_of_several() {
    let matcher = matcher(r#"{"methods":["POST","PURGE"]}"#);
    assert!(matcher.is_match(&parts("PURGE", "/", &[])));
    assert!(!matcher.is_match(&parts("GET", "/", &[])));
}

#[test]
fn an_expression_of_another_engine_is_refused_with_its_reason() {
    let declared = serde_json::from_str(r#"{"paths":["~(?=a)b"]}"#).unwrap();
    let message = Matcher::new(&declared).unwrap_err().to_string();
    assert!(message.contains("look-around"), "{message}");
}
