use std::time::Duration;

use super::*;

const AUTHENTICATION: &str = r#"
requirement: all
realm: shop
providers:
  - mtls: {identities: ["spiffe://mesh/ns/*/sa/web"]}
  - api_keys: {file: /etc/keys.json, from: {query: key}, credential: forward}
  - jwt:
      issuer: https://id.example
      audiences: [shop]
      jwks: {url: {url: https://id.example/keys, cluster: id, refresh: 10m}}
      leeway: 30s
      algorithms: [ES256, EdDSA]
      from: [{header: authorization}, {cookie: session}]
      token: strip
      claims_to_headers: {sub: x-user}
      tenant_claim: org.id
  - external:
      cluster: auth
      timeout: 250ms
      forward_headers: [cookie]
"#;

#[test]
fn authentication_is_read_from_yaml() {
    let read: Authentication = serde_saphyr::from_str(AUTHENTICATION).unwrap();
    read.check().unwrap();
    assert_eq!(read.requirement, Requirement::All);
    let [
        Provider::Mtls(_),
        Provider::ApiKeys(keys),
        Provider::Jwt(jwt),
        Provider::External(ext),
    ] = &read.providers[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!(keys.from, KeyLocation::Query("key".into()));
    assert_eq!(jwt.leeway, Duration::from_secs(30));
    assert_eq!(jwt.algorithms, [Algorithm::ES256, Algorithm::EdDsa]);
    let Jwks::Url {
        refresh, timeout, ..
    } = &jwt.jwks
    else {
        panic!("{jwt:?}")
    };
    assert_eq!(
        (*refresh, *timeout),
        (Duration::from_secs(600), Duration::from_secs(1))
    );
    assert_eq!(
        (ext.timeout, ext.fail_open),
        (Duration::from_millis(250), false)
    );
    let again = serde_json::to_string(&read).unwrap();
    assert_eq!(
        serde_json::from_str::<Authentication>(&again).unwrap(),
        read
    );
}

#[test]
fn limits_and_rules_are_read_from_yaml() {
    let limits = r#"
- {name: whole}
- {name: route, rate: 100, key: route}
- {name: each, rate: 600, per: minute, burst: 20, key: {tenant: {claim: org}}}
- {name: client, rate: 5, key: {client: identity}, response_headers: x_ratelimit}
"#;
    let limits: Vec<RateLimit> = serde_saphyr::from_str(limits).unwrap();
    limits.iter().for_each(|limit| limit.check().unwrap());
    assert_eq!(
        (limits[0].rate, limits[0].effective_burst()),
        (1e6, 100_000)
    );
    assert_eq!(limits[2].key, Key::Tenant(TenantKey::Claim("org".into())));
    assert!((limits[2].per_second() - 10.0).abs() < 1e-9);
    let rules = r#"
rules:
  - {name: a, identities: ["spiffe://mesh/**"], methods: [GET], paths: [{glob: "/v1/**"}]}
  - {name: b, action: deny, claims: {groups: [guests]}, hosts: ["*.example.com"]}
"#;
    let rules: Authorization = serde_saphyr::from_str(rules).unwrap();
    rules.check().unwrap();
    assert_eq!(rules.rules[1].action, Action::Deny);
}

#[test]
fn wrong_values_say_what_would_be_right() {
    let error = |text: &str| {
        serde_saphyr::from_str::<External>(text)
            .unwrap_err()
            .to_string()
    };
    assert!(error("{cluster: a, timeout: soon}").contains("write 250ms, 5s"));
    assert!(error("{cluster: a, time: 5s}").contains("unknown field"));
    for (provider, field) in [
        (
            "{jwt: {issuer: '', jwks: {file: f}}}",
            "providers[0].jwt.issuer",
        ),
        (
            "{jwt: {issuer: i, jwks: {file: f}, from: []}}",
            "providers[0].jwt.from",
        ),
        (
            "{api_keys: {file: f, from: {header: 'a b'}}}",
            "providers[0].api_keys.from.header",
        ),
        (
            "{external: {cluster: a, path_prefix: x}}",
            "providers[0].external.path_prefix",
        ),
        (
            "{external: {cluster: a, forward_headers: ['']}}",
            "providers[0].external.forward_headers",
        ),
    ] {
        let text = format!("{{providers: [{provider}]}}");
        let config: Authentication = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(config.check().unwrap_err().field, field);
    }
    let two = "{providers: [{external: {cluster: a}}, {external: {cluster: b}}]}";
    let two: Authentication = serde_saphyr::from_str(two).unwrap();
    assert_eq!(
        two.check().unwrap_err().to_string(),
        "providers: only one may be external"
    );
}
