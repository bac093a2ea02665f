//! CORS (the Fetch standard): which pages of other origins may call, asked before and said with
//! each answer.
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// Who may call from where. Nobody by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", default)]
pub struct Cors {
    /// `https://app.example`, `https://*.example` (one label or more), or `*`.
    pub allow_origins: Vec<String>,
    /// Methods, besides the simple ones.
    pub allow_methods: Vec<String>,
    /// Headers a page may send.
    pub allow_headers: Vec<String>,
    /// Headers a page may read.
    pub expose_headers: Vec<String>,
    /// Whether cookies come along. Not with the origin `*`.
    pub allow_credentials: bool,
    /// For how many seconds a page need not ask again.
    pub max_age: u32,
}

impl Default for Cors {
    /// What clients of gRPC-Web need, for no origin.
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            allow_origins: Vec::new(),
            allow_methods: list(&["GET", "POST", "PUT", "DELETE", "PATCH"]),
            allow_headers: list(&[
                "authorization",
                "content-type",
                "grpc-timeout",
                "x-grpc-web",
                "x-user-agent",
            ]),
            expose_headers: list(&["grpc-status", "grpc-message", "grpc-status-details-bin"]),
            allow_credentials: false,
            max_age: 600,
        }
    }
}

/// [`Cors`], ready to be asked.
#[derive(Debug, Clone)]
pub struct CorsPolicy {
    origins: Vec<Origin>,
    methods: HeaderValue,
    headers: HeaderValue,
    expose: HeaderValue,
    credentials: bool,
    max_age: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Any,
    Exact(String),
    /// What is before and after the star.
    Below(String, String),
}

impl Origin {
    fn new(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.to_ascii_lowercase();
        let Some((scheme, host)) = text.split_once("://") else {
            return Err(format!(
                "allow_origins: {text:?} has no scheme (https://app.example)"
            ));
        };
        match host.strip_prefix("*.") {
            _ if host.is_empty() || host.contains('/') => Err(format!(
                "allow_origins: {text:?} is more than scheme, host and port"
            )),
            None if host.contains('*') => Err(format!(
                "allow_origins: {text:?}: a star only as the first label"
            )),
            None => Ok(Self::Exact(text.clone())),
            Some(rest) => Ok(Self::Below(format!("{scheme}://"), format!(".{rest}"))),
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own == origin,
            Self::Below(before, after) => origin
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|label| !label.is_empty() && !label.contains(['/', ':', '@'])),
        }
    }
}

impl CorsPolicy {
    /// A policy as configured.
    ///
    /// # Errors
    /// The field that cannot be meant, and why.
    pub fn new(config: &Cors) -> Result<Self, String> {
        let list = |field: &str, names: &[String]| {
            HeaderValue::from_str(&names.join(", ")).map_err(|_| format!("{field}: cannot be sent"))
        };
        let origins: Result<Vec<_>, _> = config
            .allow_origins
            .iter()
            .map(|text| Origin::new(text))
            .collect();
        let origins = origins?;
        if config.allow_credentials && origins.contains(&Origin::Any) {
            return Err("allow_credentials: every page could act as the user with \"*\"".into());
        }
        Ok(Self {
            origins,
            methods: list("allow_methods", &config.allow_methods)?,
            headers: list("allow_headers", &config.allow_headers)?,
            expose: list("expose_headers", &config.expose_headers)?,
            credentials: config.allow_credentials,
            max_age: config.max_age,
        })
    }

    /// The origin of a request, if it may call.
    fn allowed<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let value = request.get(ORIGIN)?;
        let origin = value.to_str().ok()?.to_ascii_lowercase();
        self.origins
            .iter()
            .any(|own| own.matches(&origin))
            .then_some(value)
    }

    /// The answer to a preflight: 204, with permissions or without. None: it is none.
    pub fn preflight(&self, request: &Parts) -> Option<Response<Bytes>> {
        let asks = request.method == Method::OPTIONS
            && request.headers.contains_key(ORIGIN)
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.origin(&request.headers, headers);
        if self.allowed(&request.headers).is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.into());
        }
        Some(response)
    }

    /// Says with an answer that the page may read it. `request`: the headers of the request.
    pub fn annotate(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if !request.contains_key(ORIGIN) {
            return;
        }
        self.origin(request, response);
        if self.allowed(request).is_some() {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
        }
    }

    fn origin(&self, request: &HeaderMap, response: &mut HeaderMap) {
        // Caches must not give one origin's answer to another.
        response.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.allowed(request) else {
            return;
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn policy(origins: &[&str]) -> CorsPolicy {
        let config = Cors {
            allow_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..Cors::default()
        };
        CorsPolicy::new(&config).unwrap()
    }

    fn asks(policy: &CorsPolicy, origin: &str) -> bool {
        let request = Request::options("/x")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let response = policy
            .preflight(&request.body(()).unwrap().into_parts().0)
            .unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["vary"], "origin");
        let allowed = response.headers().get("access-control-allow-origin");
        allowed.is_some_and(|value| value == origin)
    }

    #[test]
    fn only_named_origins_may_call() {
        let policy = policy(&["https://app.example", "https://*.shop.example"]);
        for (origin, may) in [
            ("https://app.example", true),
            ("https://APP.example", true),
            ("http://app.example", false),
            ("https://app.example:444", false),
            ("https://a.shop.example", true),
            ("https://shop.example", false),
            ("https://evilshop.example", false),
            ("https://evil/a.shop.example", false),
            ("null", false),
        ] {
            assert_eq!(asks(&policy, origin), may, "{origin}");
        }
        assert!(!asks(
            &CorsPolicy::new(&Cors::default()).unwrap(),
            "https://app.example"
        ));
    }

    #[test]
    fn answers_are_readable_with_their_status() {
        let mut request = HeaderMap::new();
        let mut response = HeaderMap::new();
        let policy = policy(&["*"]);
        policy.annotate(&request, &mut response);
        assert!(response.is_empty());
        request.insert("origin", "https://a".parse().unwrap());
        policy.annotate(&request, &mut response);
        assert_eq!(response["access-control-allow-origin"], "https://a");
        let exposed = response["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("grpc-status"));
        let plain = Request::options("/x").body(()).unwrap().into_parts().0;
        assert!(policy.preflight(&plain).is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for origin in ["app.example", "https://", "https://a/b", "https://a.*.b"] {
            let config = Cors {
                allow_origins: vec![origin.to_owned()],
                ..Cors::default()
            };
            assert!(
                CorsPolicy::new(&config)
                    .unwrap_err()
                    .starts_with("allow_origins")
            );
        }
        let all = Cors {
            allow_origins: vec!["*".to_owned()],
            allow_credentials: true,
            ..Cors::default()
        };
        assert!(CorsPolicy::new(&all).is_err());
    }
}
