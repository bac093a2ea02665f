use http::Request;
use proptest::prelude::*;

use super::*;
use crate::principal::{KeyHolder, Principal};

fn limiter(yaml: serde_json::Value) -> Limiter {
    let configs: Vec<RateLimit> = serde_json::from_value(yaml).unwrap();
    Limiter::new(&configs).unwrap()
}

struct Call {
    parts: Parts,
    facts: Facts,
    principals: Principals,
}

impl Call {
    fn from(client: &str) -> Self {
        Self {
            parts: Request::new(()).into_parts().0,
            facts: Facts::plain(client.parse().unwrap()),
            principals: Principals::nobody(),
        }
    }

    fn tenant(tenant: &str) -> Self {
        let mut call = Self::from("10.0.0.1");
        let holder = KeyHolder {
            name: format!("key of {tenant}"),
            tenant: Some(tenant.to_owned()),
            expires: None,
        };
        call.principals = Principal::Key(Arc::new(holder)).into();
        call
    }

    fn on<'a>(&'a self, route: &'a str) -> Subject<'a> {
        Subject {
            parts: &self.parts,
            facts: &self.facts,
            principals: &self.principals,
            route,
            fields: &[],
        }
    }
}

fn passes(limiter: &Limiter, call: &Call, route: &str, now: u64, tries: usize) -> usize {
    (0..tries)
        .filter(|_| limiter.check(&call.on(route), now).is_ok())
        .count()
}

#[test]
fn each_kind_of_key_has_its_own_buckets() {
    let by = |key: serde_json::Value| {
        limiter(serde_json::json!([{"name": "l", "rate": 1, "burst": 2, "key": key}]))
    };
    let (a, b) = (Call::from("10.0.0.1"), Call::from("10.0.0.2"));
    let all = by("gateway".into());
    assert_eq!(passes(&all, &a, "x", 0, 5) + passes(&all, &b, "y", 0, 5), 2);
    let route = by("route".into());
    assert_eq!(
        passes(&route, &a, "x", 0, 5) + passes(&route, &a, "y", 0, 5),
        4
    );
    let client = by(serde_json::json!({"client": "address"}));
    assert_eq!(
        passes(&client, &a, "x", 0, 5) + passes(&client, &b, "x", 0, 5),
        4
    );
    let tenant = by(serde_json::json!({"tenant": "credential"}));
    assert_eq!(passes(&tenant, &Call::tenant("t1"), "", 0, 5), 2);
    assert_eq!(passes(&tenant, &Call::tenant("t1"), "", 0, 5), 0);
    assert_eq!(passes(&tenant, &Call::tenant("t2"), "", 0, 5), 2);
    let header = by(serde_json::json!({"header": "x-user"}));
    let mut one = Call::from("10.0.0.1");
    one.parts.headers.insert("x-user", "one".parse().unwrap());
    assert_eq!(
        passes(&header, &one, "", 0, 5) + passes(&header, &a, "", 0, 5),
        4
    );
}

#[test]
fn a_field_of_the_message_is_a_key() {
    let limits = limiter(
        serde_json::json!([{"name": "l", "rate": 1, "burst": 2, "key": {"field": "user.id"}}]),
    );
    assert_eq!(limits.fields().collect::<Vec<_>>(), ["user.id"]);
    let call = Call::from("10.0.0.1");
    let passes = |fields: &[(&str, &[u8])]| {
        let subject = Subject {
            fields,
            ..call.on("")
        };
        (0..5).filter(|_| limits.check(&subject, 0).is_ok()).count()
    };
    assert_eq!(passes(&[("user.id", b"a")]), 2);
    assert_eq!(passes(&[("other", b"a"), ("user.id", b"b")]), 2);
    assert_eq!(
        passes(&[("user.id", b"a")]) + passes(&[("user.id", b"b")]),
        0
    );
    assert_eq!(passes(&[]), 2);
}

#[test]
fn addresses_of_one_ipv6_network_are_one_client() {
    let client = limiter(
        serde_json::json!([{"name": "l", "rate": 1, "burst": 2, "key": {"client": "address"}}]),
    );
    assert_eq!(passes(&client, &Call::from("2001:db8::1"), "", 0, 2), 2);
    assert_eq!(passes(&client, &Call::from("2001:db8::2"), "", 0, 2), 0);
    assert_eq!(passes(&client, &Call::from("2001:db8:0:1::2"), "", 0, 2), 2);
    assert_eq!(passes(&client, &Call::from("10.0.0.1"), "", 0, 2), 2);
    assert_eq!(passes(&client, &Call::from("::ffff:10.0.0.1"), "", 0, 2), 0);
}

#[test]
fn a_refusal_uses_nothing_and_says_when_and_which() {
    let gateway = limiter(serde_json::json!([
        {"name": "whole", "rate": 1, "burst": 10},
        {"name": "each", "rate": 2, "burst": 1, "key": {"client": "address"}},
    ]));
    let a = Call::from("10.0.0.1");
    assert_eq!(passes(&gateway, &a, "", 0, 100), 1);
    let refusal = gateway.check(&a.on(""), 0).unwrap_err();
    assert_eq!(refusal.detail.as_deref(), Some("each"));
    assert_eq!(refusal.retry_after, Some(Duration::from_millis(500)));
    // 99 refusals later the other nine of the whole are still there.
    let others: usize = (2..40)
        .map(|n| passes(&gateway, &Call::from(&format!("10.0.0.{n}")), "", 0, 1))
        .sum();
    assert_eq!(others, 9);
}

#[test]
fn the_limit_of_a_backend_is_enforced_with_the_others() {
    let gateway = limiter(serde_json::json!([{"name": "whole", "rate": 1_000_000}]));
    let backend = limiter(serde_json::json!([{"name": "backend", "rate": 800_000, "burst": 800}]));
    let call = Call::from("10.0.0.1");
    let mut passed = 0;
    for ms in 0..100u64 {
        for _ in 0..1000 {
            let both = [&gateway, &backend];
            passed += usize::from(Limiter::check_all(&both, &call.on(""), ms * 1_000_000).is_ok());
        }
    }
    assert_eq!(passed, 80_000);
}

#[test]
fn a_new_configuration_goes_on_with_the_old_buckets() {
    let config = |rate: u32| limiter(serde_json::json!([{"name": "l", "rate": rate, "burst": 3}]));
    let call = Call::from("10.0.0.1");
    let old = config(1);
    assert_eq!(passes(&old, &call, "", 0, 9), 3);
    assert_eq!(passes(&config(1).continuing(&old), &call, "", 0, 9), 0);
    assert_eq!(passes(&config(2).continuing(&old), &call, "", 0, 9), 3);
}

#[test]
fn tells_what_is_left_of_the_tightest() {
    let limits = limiter(serde_json::json!([
        {"name": "a", "rate": 1, "burst": 10, "response_headers": "x_ratelimit"},
        {"name": "b", "rate": 10, "burst": 5, "response_headers": "x_ratelimit"},
        {"name": "c", "rate": 10, "burst": 2},
    ]));
    let call = Call::from("10.0.0.1");
    let mut headers = HeaderMap::new();
    limits
        .check(&call.on(""), 0)
        .unwrap()
        .annotate(&mut headers);
    assert_eq!(headers["x-ratelimit-limit"], "5");
    assert_eq!(headers["x-ratelimit-remaining"], "4");
    assert_eq!(headers["x-ratelimit-reset"], "1");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_field() {
    let wrong = [
        (serde_json::json!([{"name": ""}]), "[0].name"),
        (serde_json::json!([{"name": "a", "rate": 0}]), "[0].rate"),
        (
            serde_json::json!([{"name": "a"}, {"name": "a"}]),
            "[1].name",
        ),
        (serde_json::json!([{"name": "a", "burst": 0}]), "[0].burst"),
        (
            serde_json::json!([{"name": "a", "key": {"header": "a b"}}]),
            "[0].key",
        ),
    ];
    for (config, field) in wrong {
        let configs: Vec<RateLimit> = serde_json::from_value(config).unwrap();
        assert_eq!(Limiter::new(&configs).unwrap_err().field, field);
    }
    let unknown = serde_json::json!({"name": "a", "rates": 3});
    assert!(serde_json::from_value::<RateLimit>(unknown).is_err());
}

proptest! {
    #[test]
    fn together_is_the_least_of_each(
        bursts in prop::collection::vec(1u64..20, 1..5),
        tries in 1usize..40,
    ) {
        let configs: Vec<_> = bursts
            .iter()
            .enumerate()
            .map(|(i, burst)| {
                serde_json::json!({"name": i.to_string(), "rate": 0.001, "burst": burst})
            })
            .collect();
        let limits = limiter(configs.into());
        let passed = passes(&limits, &Call::from("10.0.0.1"), "", 0, tries);
        let least = bursts.iter().copied().min().unwrap_or(0) as usize;
        prop_assert_eq!(passed, tries.min(least));
    }
}
