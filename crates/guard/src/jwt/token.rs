//! A verified token.
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// The claims of a verified token, with what the proxy needs of them at hand.
pub struct Token {
    name: String,
    tenant: Option<String>,
    claims: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// `exp`, Unix seconds.
    pub(super) expires: u64,
    /// The later of `nbf` and `iat`, or 0.
    pub(super) not_before: u64,
}

impl std::fmt::Debug for Token {
    /// Claims are private matters of the caller: only the name is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A claim by name; `a.b` reaches into objects if there is no claim of the whole name.
pub fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// A point in time (RFC 7519 `NumericDate`), in whole seconds.
fn date(claims: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = claims.get(name)?;
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|at| *at >= 0.0).map(|at| at as u64))
}

/// A claim as the value of a header: lists joined with commas, objects not at all.
pub(super) fn as_header(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let parts: Option<Vec<String>> = items.iter().map(as_header).collect();
            Some(parts?.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

impl Token {
    /// None if the claims have no `exp`, or a time that is none.
    pub(super) fn new(
        claims: Map<String, Value>,
        tenant_claim: Option<&str>,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Option<Self> {
        let expires = date(&claims, "exp")?;
        let mut not_before = 0;
        for name in ["nbf", "iat"] {
            if claims.contains_key(name) {
                not_before = not_before.max(date(&claims, name)?);
            }
        }
        let text = |name: &str| claim(&claims, name).and_then(Value::as_str);
        Some(Self {
            name: format!(
                "{}/{}",
                text("iss").unwrap_or_default(),
                text("sub").unwrap_or_default()
            ),
            tenant: tenant_claim.and_then(|name| as_header(claim(&claims, name)?)),
            headers,
            expires,
            not_before,
            claims,
        })
    }

    /// `ISSUER/SUBJECT`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the tenant claim says.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// All claims.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Headers for the upstream, out of the claims.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }
}
