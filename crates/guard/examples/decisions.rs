//! What decisions cost, in nanoseconds each: `cargo run --release -p cloudwright-guard --example
//! decisions`. One thread, the best of 200 rounds of 20,000: short
//! enough that some are not interrupted on a busy machine.
#![allow(clippy::print_stdout, clippy::unwrap_used)]
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use cloudwright_guard::{
    Authenticator, Authorizer, Facts, Limiter, Now, Principals, Subject, Verdict,
};
use http::Request;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

const ROUND: u64 = 20_000;
const ROUNDS: u64 = 200;

fn measure(name: &str, mut one: impl FnMut(u64) -> bool) {
    let mut best = f64::MAX;
    let mut passed = 0u64;
    for round in 0..ROUNDS {
        let start = Instant::now();
        for step in 0..ROUND {
            passed += u64::from(one(round * ROUND + step));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / ROUND as f64);
    }
    println!(
        "{name:<52} {best:>8.1} ns   ({}% passed)",
        passed * 100 / (ROUND * ROUNDS)
    );
}

fn limiter(config: serde_json::Value) -> Limiter {
    Limiter::new(&serde_json::from_value::<Vec<_>>(config).unwrap()).unwrap()
}

fn limits() {
    let parts = Request::new(()).into_parts().0;
    let nobody = Principals::nobody();
    let fixed = limiter(json!([{"name": "a", "rate": 1_000_000}]));
    let keyed = limiter(json!([{"name": "a", "rate": 50, "key": {"client": "address"}}]));
    let backend = limiter(json!([{"name": "b", "rate": 800_000}]));
    let facts: Vec<Facts> = (0..100_000u32)
        .map(|n| Facts::plain(Ipv4Addr::from_bits(0x0A00_0000 + n).into()))
        .collect();
    let subject = |facts| Subject {
        parts: &parts,
        facts,
        principals: &nobody,
        route: "r",
        fields: &[],
    };
    let one = &facts[0];
    measure("one bucket, granted", |n| {
        fixed.check(&subject(one), n * 2000).is_ok()
    });
    measure("one bucket, 1,000,000/s asked 2,000,000/s", |n| {
        fixed.check(&subject(one), (1 << 40) + n * 500).is_ok()
    });
    measure("one of 100,000 clients", |n| {
        let facts = &facts[(n * 7919 % 100_000) as usize];
        keyed.check(&subject(facts), n * 2000).is_ok()
    });
    measure("the same client", |n| {
        keyed
            .check(&subject(one), (1 << 40) + n * 30_000_000)
            .is_ok()
    });
    measure("gateway, backend and client together", |n| {
        let facts = &facts[(n * 7919 % 100_000) as usize];
        let all = [&fixed, &backend, &keyed];
        Limiter::check_all(&all, &subject(facts), (1 << 55) + n * 2000).is_ok()
    });
}

fn authentication() {
    let random = SystemRandom::new();
    let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
    let b64 = |bytes: &[u8]| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    let point = key.public_key().as_ref();
    let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256",
        "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
    let claims = json!({"iss": "i", "exp": 1_000_000, "sub": "alice", "x": "y".repeat(500)});
    let message = format!(
        "{}.{}",
        b64(br#"{"alg":"ES256","typ":"JWT"}"#),
        b64(claims.to_string().as_bytes())
    );
    let signature = key.sign(&random, message.as_bytes()).unwrap();
    let bearer = format!("Bearer {message}.{}", b64(signature.as_ref()));
    let facts = Facts::plain([10, 0, 0, 1].into());
    let now = Now {
        monotonic_ns: 0,
        unix: 1000,
    };
    for (name, cache) in [("JWT, seen before", 1024), ("JWT, ES256 verified", 0)] {
        let config = json!({"providers": [{"jwt": {
            "issuer": "i", "jwks": {"file": "f"}, "cache": cache}}]});
        let config = serde_json::from_value(config).unwrap();
        let guard =
            Authenticator::new(&config, &mut |_| Ok(jwks.to_string().into_bytes())).unwrap();
        let parts = Request::builder().header("authorization", &bearer).body(());
        let parts = parts.unwrap().into_parts().0;
        measure(name, |n| {
            // Verifying is slow enough to be measured on fewer.
            if cache == 0 && n % 1000 != 0 {
                return true;
            }
            matches!(
                black_box(guard.check(&parts, &facts, now, false)),
                Verdict::Accept(_)
            )
        });
    }
    println!("{:<52} (the last line: × 1000)", "");
    let keys = r#"{"keys":[{"name":"ci","sha256":
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}]}"#;
    let config = json!({"providers": [{"api_keys": {"file": "f"}}]});
    let config = serde_json::from_value(config).unwrap();
    let guard = Authenticator::new(&config, &mut |_| Ok(keys.into())).unwrap();
    let parts = Request::builder()
        .header("x-api-key", "secret")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    measure("API key", |_| {
        matches!(
            black_box(guard.check(&parts, &facts, now, false)),
            Verdict::Accept(_)
        )
    });
}

fn authorization() {
    let rules: Vec<_> = (0..10)
        .map(|n| {
            json!({"name": format!("r{n}"), "methods": ["GET"],
            "identities": [format!("spiffe://mesh/ns/n{n}/sa/*")], "paths": [{"prefix": "/a"}]})
        })
        .collect();
    let rules = Authorizer::new(&serde_json::from_value(json!({"rules": rules})).unwrap());
    let rules = rules.unwrap();
    let parts = Request::builder()
        .uri("/a/b")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let mut facts = Facts::plain([10, 0, 0, 1].into());
    facts.identity = Some("spiffe://mesh/ns/n9/sa/web".into());
    let nobody = Principals::nobody();
    measure("the last of ten rules", |_| {
        black_box(rules.decide(&parts, &facts, &nobody)).allowed()
    });
}

fn main() {
    limits();
    authentication();
    authorization();
}
