use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::jwt::tests::{Issuer, claims};

// SHA-256 of "secret".
const KEYS: &str = r#"{"keys":[{"name":"ci","tenant":"shop",
    "sha256":"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}]}"#;

const NOW: Now = Now {
    monotonic_ns: 1_500_000_000_000,
    unix: 1500,
};

struct Place {
    issuer: Issuer,
    authenticator: Authenticator,
}

fn place(requirement: &str, providers: Value) -> Place {
    let issuer = Issuer::new("k1");
    let config = json!({"requirement": requirement, "providers": providers});
    let config = serde_json::from_value(config).unwrap();
    let jwks = issuer.jwks();
    let authenticator = Authenticator::new(&config, &mut |path| match path {
        "keys" => Ok(KEYS.into()),
        "jwks" => Ok(jwks.clone()),
        _ => Err("no such file".to_owned()),
    });
    Place {
        issuer,
        authenticator: authenticator.unwrap(),
    }
}

fn api_keys() -> Value {
    json!({"api_keys": {"file": "keys"}})
}

fn jwt() -> Value {
    json!({"jwt": {
        "issuer": "https://id.example", "jwks": {"file": "jwks"},
        "claims_to_headers": {"sub": "x-user"},
    }})
}

fn external() -> Value {
    json!({"external": {
        "cluster": "auth", "path_prefix": "/check", "forward_headers": ["cookie"],
        "add_headers": {"x-asked-by": "gateway"}, "upstream_headers": ["x-role"],
        "identity_header": "x-auth-user",
    }})
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder()
        .method("POST")
        .uri("http://shop.example/a?b=c");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn facts(identity: Option<&str>) -> Facts {
    Facts {
        client: [10, 0, 0, 1].into(),
        identity: identity.map(Into::into),
    }
}

impl Place {
    fn ask(&self, headers: &[(&str, &str)], identity: Option<&str>) -> Verdict {
        self.authenticator
            .check(&parts(headers), &facts(identity), NOW, false)
    }

    fn names(&self, headers: &[(&str, &str)], identity: Option<&str>) -> Vec<String> {
        match self.ask(headers, identity) {
            Verdict::Accept(accepted) => accepted
                .principals
                .iter()
                .map(|p| p.name().to_owned())
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn refusal(&self, headers: &[(&str, &str)], identity: Option<&str>) -> Refusal {
        match self.ask(headers, identity) {
            Verdict::Refuse(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.issuer.sign(&claims()))
    }
}

#[test]
fn any_takes_the_first_that_accepts() {
    let place = place(
        "any",
        json!([api_keys(), jwt(), {"mtls": {"identities": ["spiffe://m/*"]}}]),
    );
    let bearer = place.bearer();
    assert_eq!(place.names(&[("x-api-key", "secret")], None), ["ci"]);
    assert_eq!(
        place.names(&[("authorization", &bearer)], None),
        ["https://id.example/alice"]
    );
    assert_eq!(place.names(&[], Some("spiffe://m/a")), ["spiffe://m/a"]);
    // A wrong key does not spoil a good token.
    let both = [("x-api-key", "wrong"), ("authorization", &*bearer)];
    assert_eq!(place.names(&both, None), ["https://id.example/alice"]);
    assert_eq!(
        place.refusal(&[("x-api-key", "wrong")], None).reason,
        Reason::InvalidKey
    );
    assert_eq!(
        place.refusal(&[], Some("spiffe://m/a/b")).reason,
        Reason::UnknownPeer
    );
    let missing = place.refusal(&[], None);
    assert_eq!(
        (missing.reason, missing.grpc_code()),
        (Reason::MissingCredential, 16)
    );
}

#[test]
fn all_needs_every_one() {
    let place = place("all", json!([{"mtls": {}}, api_keys()]));
    let key = [("x-api-key", "secret")];
    assert_eq!(
        place.names(&key, Some("spiffe://m/a")),
        ["spiffe://m/a", "ci"]
    );
    assert_eq!(place.refusal(&key, None).reason, Reason::MissingCredential);
    assert_eq!(
        place.refusal(&[], Some("x")).reason,
        Reason::MissingCredential
    );
}

#[test]
fn optional_lets_nobody_pass_but_no_wrong_credential() {
    let place = place("optional", json!([api_keys()]));
    assert!(place.names(&[], None).is_empty());
    assert_eq!(place.names(&[("x-api-key", "secret")], None), ["ci"]);
    assert_eq!(
        place.refusal(&[("x-api-key", "x")], None).reason,
        Reason::InvalidKey
    );
}

#[test]
fn challenges_say_what_was_wrong_with_a_token_that_was_shown() {
    let place = place("any", json!([jwt(), api_keys()]));
    let answer = place.refusal(&[], None).response(&HeaderMap::new());
    assert_eq!(answer.status(), 401);
    let challenges = |answer: &http::Response<bytes::Bytes>| -> Vec<String> {
        let all = answer.headers().get_all("www-authenticate");
        all.iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        challenges(&answer),
        [
            r#"Bearer realm="cloudwright""#,
            r#"ApiKey realm="cloudwright""#
        ]
    );
    let shown = place.refusal(&[("authorization", "Bearer a.b.c")], None);
    assert_eq!(
        challenges(&shown.response(&HeaderMap::new()))[0],
        "Bearer realm=\"cloudwright\", error=\"invalid_token\", \
         error_description=\"the token is not accepted: not a signed token\""
    );
    let mut grpc = HeaderMap::new();
    grpc.insert("content-type", "application/grpc".parse().unwrap());
    let answer = shown.response(&grpc);
    assert_eq!(
        (answer.status(), &answer.headers()["grpc-status"]),
        (StatusCode::OK, &"16".parse().unwrap())
    );
}

#[test]
fn upstreams_see_claims_and_neither_keys_nor_forgeries() {
    let place = place("all", json!([api_keys(), jwt()]));
    let bearer = place.bearer();
    let mut request = parts(&[
        ("x-api-key", "secret"),
        ("authorization", &bearer),
        ("x-user", "root"),
        ("x-user", "root2"),
    ]);
    let Verdict::Accept(accepted) = place
        .authenticator
        .check(&request, &facts(None), NOW, false)
    else {
        panic!("not accepted")
    };
    place.authenticator.apply(&accepted, &mut request);
    assert!(request.headers.get("x-api-key").is_none());
    let users: Vec<_> = request.headers.get_all("x-user").iter().collect();
    assert_eq!(users, ["alice"]);
    assert_eq!(request.headers["authorization"], bearer);
    // Nobody: the forged header goes all the same.
    let mut request = parts(&[("x-user", "root")]);
    place
        .authenticator
        .apply(&Accepted::default(), &mut request);
    assert!(request.headers.get("x-user").is_none());
}

#[test]
fn the_external_check_is_asked_last_and_its_answer_read() {
    let place = place("any", json!([external(), api_keys()]));
    assert_eq!(place.names(&[("x-api-key", "secret")], None), ["ci"]);
    let ask = || match place.ask(
        &[("cookie", "a=b"), ("x-secret", "s"), ("x-role", "root")],
        None,
    ) {
        Verdict::Ask(check) => *check,
        other => panic!("{other:?}"),
    };
    let check = ask();
    assert_eq!(
        (&*check.cluster, check.request.method()),
        ("auth", &http::Method::POST)
    );
    assert_eq!(check.uri(), "/check/a?b=c");
    let headers = check.request.headers();
    assert_eq!(headers["host"], "shop.example");
    assert_eq!(
        (&headers["cookie"], &headers["x-asked-by"]),
        (&"a=b".parse().unwrap(), &"gateway".parse().unwrap())
    );
    assert!(headers.get("x-secret").is_none());
    let answer = |status: u16, headers: &[(&str, &str)], body: &'static str| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: parts(headers).headers,
        body: body.into(),
    };
    let fine = answer(
        200,
        &[
            ("x-role", "reader"),
            ("x-auth-user", "bob"),
            ("x-other", "1"),
        ],
        "",
    );
    let accepted = ask().conclude(Some(&fine)).unwrap();
    assert_eq!(accepted.principals.first().unwrap().name(), "bob");
    let mut request = parts(&[("x-role", "root"), ("x-auth-user", "root")]);
    place.authenticator.apply(&accepted, &mut request);
    let roles: Vec<_> = request.headers.get_all("x-role").iter().collect();
    assert_eq!(roles, ["reader"]);
    assert_eq!(request.headers["x-auth-user"], "bob");
    assert!(request.headers.get("x-other").is_none());

    let no = answer(302, &[("location", "/login"), ("x-other", "1")], "go");
    let refusal = ask()
        .conclude(Some(&no))
        .unwrap_err()
        .response(&HeaderMap::new());
    assert_eq!(
        (refusal.status(), &refusal.headers()["location"]),
        (StatusCode::FOUND, &"/login".parse().unwrap())
    );
    assert_eq!(&refusal.body()[..], b"go");
    assert!(refusal.headers().get("x-other").is_none());
    for none in [None, Some(answer(500, &[], ""))] {
        let refusal = ask().conclude(none.as_ref()).unwrap_err();
        assert_eq!(refusal.reason, Reason::ExternalUnavailable);
    }
}

#[test]
fn fail_open_only_when_asked_for() {
    let mut provider = external();
    provider["external"]["fail_open"] = true.into();
    let place = place("any", json!([provider]));
    let Verdict::Ask(check) = place.ask(&[], None) else {
        panic!("not asked")
    };
    assert!(check.conclude(None).is_ok());
}

#[test]
fn an_unknown_key_is_waited_for_once() {
    let issuer = Issuer::new("k9");
    let mut provider = jwt();
    provider["jwt"]["jwks"] = json!({"url": {"url": "https://id.example/keys", "cluster": "id"}});
    let place = place("any", json!([provider]));
    let bearer = format!("Bearer {}", issuer.sign(&claims()));
    let headers = [("authorization", &*bearer)];
    assert!(matches!(place.ask(&headers, None), Verdict::AwaitKeys));
    let due = place.authenticator.fetches(NOW);
    assert_eq!(due.len(), 1);
    assert!(
        matches!(place.ask(&headers, None), Verdict::AwaitKeys),
        "it is on its way"
    );
    place
        .authenticator
        .fetched(due[0].provider, Ok(&issuer.jwks()), NOW)
        .unwrap();
    assert_eq!(place.names(&headers, None), ["https://id.example/alice"]);
    let other = format!("Bearer {}", Issuer::new("k0").sign(&claims()));
    assert_eq!(
        place.refusal(&[("authorization", &other)], None).reason,
        Reason::InvalidToken,
        "no second fetch so soon"
    );
}

#[test]
fn files_are_loaded_and_reloaded() {
    let place = place("any", json!([api_keys()]));
    assert_eq!(place.authenticator.files().collect::<Vec<_>>(), ["keys"]);
    assert!(
        place
            .authenticator
            .reload("keys", b"{")
            .unwrap_err()
            .starts_with("keys: ")
    );
    assert_eq!(place.names(&[("x-api-key", "secret")], None), ["ci"]);
    place
        .authenticator
        .reload("keys", br#"{"keys":[]}"#)
        .unwrap();
    assert_eq!(
        place.refusal(&[("x-api-key", "secret")], None).reason,
        Reason::InvalidKey
    );
    let config = json!({"providers": [{"api_keys": {"file": "nowhere"}}]});
    let error = Authenticator::new(&serde_json::from_value(config).unwrap(), &mut |_| {
        Err("no such file".to_owned())
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "providers[0].api_keys.file: nowhere: no such file"
    );
}
