use ::ring::rand::SystemRandom;
use ::ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer with a key on P-256.
pub(crate) struct Issuer {
    kid: &'static str,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub(crate) fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
        Self { kid, key }
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig",
            "x": b64(&point[1..33]), "y": b64(&point[33..]),
        })
    }

    pub(crate) fn jwks(&self) -> Vec<u8> {
        json!({"keys": [self.jwk()]}).to_string().into_bytes()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_under(&json!({"alg": "ES256", "kid": self.kid}), claims)
    }

    fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self
            .key
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", b64(signature))
    }
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://id.example", "sub": "alice", "aud": "shop", "exp": 2000, "iat": 1000,
        "org": {"id": 7}, "roles": ["a", "b"], "tenant": "t1",
    })
}

fn at(unix: u64) -> Now {
    Now {
        monotonic_ns: unix * 1_000_000_000,
        unix,
    }
}

fn verifier(extra: Value) -> Verifier {
    let mut config = json!({
        "issuer": "https://id.example", "audiences": ["shop"], "leeway": "10s",
        "jwks": {"file": "keys.json"}, "tenant_claim": "tenant",
        "claims_to_headers": {"sub": "x-user", "org.id": "x-org", "roles": "x-roles"},
    });
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    Verifier::new(&serde_json::from_value(config).unwrap()).unwrap()
}

fn ready(issuer: &Issuer) -> Verifier {
    let verifier = verifier(json!({}));
    verifier.replace(&issuer.jwks()).unwrap();
    verifier
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut all = claims();
    all[name] = value.into();
    all
}

fn without(name: &str) -> Value {
    let mut all = claims();
    all.as_object_mut().unwrap().remove(name);
    all
}

#[test]
fn a_good_token_names_caller_tenant_and_headers() {
    let issuer = Issuer::new("k1");
    let token = ready(&issuer)
        .verify(&issuer.sign(&claims()), at(1500))
        .unwrap();
    assert_eq!(token.name(), "https://id.example/alice");
    assert_eq!(token.tenant(), Some("t1"));
    let mut headers: Vec<_> = token
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    assert_eq!(headers, ["x-org=7", "x-roles=a,b", "x-user=alice"]);
    assert!(!format!("{token:?}").contains("roles"));
}

#[test]
fn times_are_judged_with_leeway_by_the_clock_given() {
    let issuer = Issuer::new("k1");
    let verifier = ready(&issuer);
    let good = issuer.sign(&claims());
    for (unix, result) in [
        (989, Err(TokenError::NotYet)),
        (990, Ok(())),
        (2009, Ok(())),
        (2010, Err(TokenError::Expired)),
        // The same again: now out of the cache.
        (989, Err(TokenError::NotYet)),
        (2010, Err(TokenError::Expired)),
    ] {
        assert_eq!(verifier.verify(&good, at(unix)).map(drop), result, "{unix}");
    }
    let late = issuer.sign(&with("nbf", 1600));
    assert_eq!(
        verifier.verify(&late, at(1500)).unwrap_err(),
        TokenError::NotYet
    );
}

#[test]
fn what_is_wrong_has_a_name() {
    let issuer = Issuer::new("k1");
    let verifier = ready(&issuer);
    let es = |extra: Value| {
        let mut header = json!({"alg": "ES256", "kid": "k1"});
        for (key, value) in extra.as_object().unwrap() {
            header[key] = value.clone();
        }
        issuer.sign_under(&header, &claims())
    };
    for (token, error) in [
        (
            issuer.sign(&with("iss", "https://evil")),
            TokenError::Issuer,
        ),
        (issuer.sign(&without("iss")), TokenError::Issuer),
        (issuer.sign(&with("aud", "bank")), TokenError::Audience),
        (issuer.sign(&without("aud")), TokenError::Audience),
        (issuer.sign(&without("exp")), TokenError::NoExpiry),
        (issuer.sign(&with("exp", "soon")), TokenError::NoExpiry),
        (Issuer::new("k1").sign(&claims()), TokenError::Signature),
        (Issuer::new("k2").sign(&claims()), TokenError::UnknownKey),
        (es(json!({"alg": "HS256"})), TokenError::Algorithm),
        (es(json!({"alg": "none"})), TokenError::Malformed),
        (es(json!({"alg": "ES384"})), TokenError::Signature),
        (es(json!({"alg": "RS256"})), TokenError::UnknownKey),
        (
            es(json!({"crit": ["b64"], "b64": false})),
            TokenError::Critical,
        ),
        ("a.b".to_owned(), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        ("x".repeat(MAX_TOKEN + 1), TokenError::TooLong),
    ] {
        assert_eq!(
            verifier.verify(&token, at(1500)).unwrap_err(),
            error,
            "{token}"
        );
    }
    let good = issuer.sign(&claims());
    let unsigned = good.rsplit_once('.').unwrap().0;
    assert!(verifier.verify(&format!("{unsigned}."), at(1500)).is_err());
    assert!(
        verifier
            .verify(&with("aud", json!(["a", "shop"])).to_string(), at(1500))
            .is_err()
    );
    let list = issuer.sign(&with("aud", json!(["a", "shop"])));
    assert!(verifier.verify(&list, at(1500)).is_ok());
}

#[test]
fn all_of_rsa_verifies() {
    let fixture: Value = serde_json::from_str(include_str!("rsa.json")).unwrap();
    let verifier = verifier(json!({}));
    let set = json!({"keys": [fixture["jwk"]]}).to_string();
    verifier.replace(set.as_bytes()).unwrap();
    let tokens = fixture["tokens"].as_object().unwrap();
    assert_eq!(tokens.len(), 6);
    for (algorithm, token) in tokens {
        let token = token.as_str().unwrap();
        assert!(verifier.verify(token, at(1500)).is_ok(), "{algorithm}");
        let other = if token.ends_with('A') { "Q" } else { "A" };
        let changed = format!("{}{other}AA", &token[..token.len() - 3]);
        assert!(verifier.verify(&changed, at(1500)).is_err(), "{algorithm}");
    }
}

#[test]
fn eddsa_verifies_and_a_key_for_one_algorithm_is_for_no_other() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let message = format!(
        "{}.{}",
        b64(r#"{"alg":"EdDSA"}"#),
        b64(claims().to_string())
    );
    let token = format!("{message}.{}", b64(pair.sign(message.as_bytes())));
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())});
    let plain = verifier(json!({}));
    plain
        .replace(json!({"keys": [jwk]}).to_string().as_bytes())
        .unwrap();
    assert!(plain.verify(&token, at(1500)).is_ok());
    let narrow = verifier(json!({"algorithms": ["ES256"]}));
    narrow
        .replace(json!({"keys": [jwk]}).to_string().as_bytes())
        .unwrap();
    assert_eq!(
        narrow.verify(&token, at(1500)).unwrap_err(),
        TokenError::Algorithm
    );
}

#[test]
fn shared_secrets_only_where_configured() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let key = ::ring::hmac::Key::new(::ring::hmac::HMAC_SHA256, secret);
    let message = format!(
        "{}.{}",
        b64(r#"{"alg":"HS256"}"#),
        b64(claims().to_string())
    );
    let token = format!(
        "{message}.{}",
        b64(::ring::hmac::sign(&key, message.as_bytes()))
    );
    let own = verifier(json!({"jwks": {"secret_file": "s"}}));
    assert!(own.replace(b"short\n").is_err());
    own.replace(&[&secret[..], b"\n"].concat()).unwrap();
    assert!(own.verify(&token, at(1500)).is_ok());
    // A JWKS never brings a secret, not even one that looks like it.
    let public = verifier(json!({}));
    let oct = json!({"keys": [{"kty": "oct", "k": b64(secret), "alg": "HS256"}]});
    assert!(
        public
            .replace(oct.to_string().as_bytes())
            .unwrap_err()
            .contains("none of its 1")
    );
    let config = json!({
        "issuer": "i", "jwks": {"file": "f"}, "algorithms": ["HS256"],
    });
    let config = json!({"providers": [{"jwt": config}]});
    let config: config::Authentication = serde_json::from_value(config).unwrap();
    assert_eq!(
        config.check().unwrap_err().field,
        "providers[0].jwt.algorithms"
    );
}

use crate::config;

#[test]
fn keys_rotate_and_a_broken_set_keeps_the_old() {
    let (old, new) = (Issuer::new("k1"), Issuer::new("k2"));
    let verifier = verifier(json!({
        "jwks": {"url": {"url": "https://id.example/keys", "cluster": "id"}},
    }));
    let (by_old, by_new) = (old.sign(&claims()), new.sign(&claims()));
    assert_eq!(
        verifier.verify(&by_old, at(1000)).unwrap_err(),
        TokenError::NoKeys
    );
    let fetch = verifier
        .refresh()
        .unwrap()
        .begin(at(1000).monotonic_ns)
        .unwrap();
    assert_eq!((&*fetch.cluster, fetch.uri.path()), ("id", "/keys"));
    verifier.fetched(Ok(&old.jwks()), at(1000)).unwrap();
    assert!(verifier.verify(&by_old, at(1000)).is_ok());
    assert_eq!(
        verifier.verify(&by_new, at(1011)).unwrap_err(),
        TokenError::UnknownKey
    );
    assert!(verifier.refresh().unwrap().want(at(1011).monotonic_ns));
    verifier
        .refresh()
        .unwrap()
        .begin(at(1011).monotonic_ns)
        .unwrap();
    for broken in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"x"}]}"#] {
        assert!(
            verifier.fetched(Ok(broken.as_bytes()), at(1011)).is_err(),
            "{broken}"
        );
    }
    assert!(verifier.fetched(Err("503".into()), at(1011)).is_err());
    assert!(verifier.verify(&by_old, at(1011)).is_ok());
    verifier.fetched(Ok(&new.jwks()), at(1012)).unwrap();
    assert!(verifier.verify(&by_new, at(1012)).is_ok());
    // Remembered, but by a key that is gone.
    assert_eq!(
        verifier.verify(&by_old, at(1012)).unwrap_err(),
        TokenError::UnknownKey
    );
}

#[test]
fn unknown_kinds_of_keys_are_passed_over() {
    let issuer = Issuer::new("k1");
    let set = json!({"keys": [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"},
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA"},
        issuer.jwk(),
    ]});
    assert_eq!(KeySet::parse(set.to_string().as_bytes()).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn any_text_is_refused_without_harm(token in ".{0,60}", parts in "[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}") {
        let verifier = verifier(json!({}));
        prop_assert!(verifier.verify(&token, at(1500)).is_err());
        prop_assert!(verifier.verify(&parts, at(1500)).is_err());
        prop_assert!(verifier.replace(token.as_bytes()).is_err());
    }
}
