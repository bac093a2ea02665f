//! `authentication`: providers, each with a way of proving who calls, and how they combine.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, duration};

/// How a listener or a route finds out who calls.
///
/// ```yaml
/// requirement: any
/// providers:
///   - jwt: {issuer: https://id.example, audiences: [shop], jwks: {file: /etc/keys.json}}
///   - api_keys: {file: /etc/api-keys.json}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Authentication {
    /// The ways to prove an identity, tried in this order (`external` always last).
    pub providers: Vec<Provider>,
    /// How many of them have to accept.
    #[serde(default)]
    pub requirement: Requirement,
    /// Named in `WWW-Authenticate: … realm="…"`.
    #[serde(default = "default_realm")]
    pub realm: String,
}

/// How the providers combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// One provider accepts.
    #[default]
    Any,
    /// Every provider accepts.
    All,
    /// No credential is fine; one that is presented has to be good.
    Optional,
}

/// One way to prove an identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// A key in a header or the query.
    ApiKeys(ApiKeys),
    /// A signed token (RFC 7519).
    Jwt(Box<Jwt>),
    /// The identity of the verified client certificate.
    Mtls(Mtls),
    /// Another service decides.
    External(External),
}

/// API keys out of a file: `{"keys": [{"name": "ci", "tenant": "shop", "sha256": "<64 hex>"}]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct ApiKeys {
    /// The file with the hashes; read again when it changes.
    pub file: String,
    /// Where callers put the key.
    #[serde(default)]
    pub from: KeyLocation,
    /// Whether upstreams see the key.
    #[serde(default)]
    pub credential: TokenHandling,
}

/// Where a key is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLocation {
    /// A header of this name.
    Header(String),
    /// A parameter of the query (it ends up in the logs of others: prefer a header).
    Query(String),
}

impl Default for KeyLocation {
    fn default() -> Self {
        Self::Header("x-api-key".to_owned())
    }
}

/// What becomes of the credential on its way upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenHandling {
    /// Taken off the request.
    #[default]
    Strip,
    /// Left on it.
    Forward,
}

/// JSON Web Tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Jwt {
    /// What `iss` has to say, exactly.
    pub issuer: String,
    /// One of these has to be in `aud`; empty: any audience.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Where the keys come from.
    pub jwks: Jwks,
    /// How far clocks may differ.
    #[serde(default = "default_leeway", with = "duration")]
    pub leeway: Duration,
    /// The signatures that are taken; empty: RS, PS, ES and EdDSA (HS with a `secret_file`).
    #[serde(default)]
    pub algorithms: Vec<Algorithm>,
    /// Where callers put the token; the first place that has one counts.
    #[serde(default = "default_locations")]
    pub from: Vec<TokenLocation>,
    /// Whether upstreams see the token.
    #[serde(default = "forward")]
    pub token: TokenHandling,
    /// Claim → header for the upstream. A caller's own header of that name is always removed.
    /// `a.b` reaches into objects; lists are joined with commas.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, String>,
    /// The claim that names the tenant, for rate limits and rules.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// Tokens whose verification is remembered (until they expire).
    #[serde(default = "default_cache")]
    pub cache: usize,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jwks {
    /// A JWKS file, read again when it changes.
    File(String),
    /// A JWKS behind a URL, reached through a cluster.
    Url {
        /// `https://id.example/keys`: gives the path and the `host` header.
        url: String,
        /// The cluster that has the endpoints.
        cluster: String,
        /// How long a set is good before it is asked for again.
        #[serde(default = "default_refresh", with = "duration")]
        refresh: Duration,
        /// How long one fetch may take.
        #[serde(default = "default_timeout", with = "duration")]
        timeout: Duration,
    },
    /// A file with the shared secret of HS256/384/512: only for tokens of one's own.
    SecretFile(String),
}

/// A signature algorithm (RFC 7518, 8037). `none` does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    #[serde(rename = "EdDSA")]
    EdDsa,
    HS256,
    HS384,
    HS512,
}

impl Algorithm {
    /// Whether it signs with a shared secret.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Where a token is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLocation {
    /// A header; `authorization` is read as `Bearer TOKEN`, others as the token.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
}

/// Callers with a verified certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Mtls {
    /// Identities that are taken (`*` within a segment, `**` across); empty: every verified one.
    #[serde(default)]
    pub identities: Vec<String>,
}

/// Another service is asked (the HTTP service of Envoy's `ext_authz`): the request's method and
/// path, no body; 200 accepts, another status refuses with that answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct External {
    /// The cluster that answers.
    pub cluster: String,
    /// Put before the path of the request.
    #[serde(default)]
    pub path_prefix: String,
    /// How long it may take.
    #[serde(default = "default_timeout", with = "duration")]
    pub timeout: Duration,
    /// Headers of the request that are shown; `authorization` always is.
    #[serde(default)]
    pub forward_headers: Vec<String>,
    /// Headers that are added to the question.
    #[serde(default)]
    pub add_headers: BTreeMap<String, String>,
    /// Headers of an accepting answer that go upstream.
    #[serde(default)]
    pub upstream_headers: Vec<String>,
    /// Headers of a refusing answer that go to the caller.
    #[serde(default = "default_client_headers")]
    pub client_headers: Vec<String>,
    /// The header of an accepting answer that names the caller.
    #[serde(default)]
    pub identity_header: Option<String>,
    /// Let requests pass when nobody answers. Fail closed is the default.
    #[serde(default)]
    pub fail_open: bool,
}

fn default_realm() -> String {
    "cloudwright".to_owned()
}

fn default_leeway() -> Duration {
    Duration::from_secs(60)
}

fn default_refresh() -> Duration {
    Duration::from_secs(300)
}

fn default_timeout() -> Duration {
    Duration::from_secs(1)
}

fn default_locations() -> Vec<TokenLocation> {
    vec![TokenLocation::Header("authorization".to_owned())]
}

fn forward() -> TokenHandling {
    TokenHandling::Forward
}

fn default_cache() -> usize {
    1024
}

fn default_client_headers() -> Vec<String> {
    vec!["www-authenticate".to_owned(), "location".to_owned()]
}

impl Authentication {
    /// Says what cannot be meant; files are not looked at.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.providers.is_empty() {
            return Err(ConfigError::at("providers", "is empty: name at least one"));
        }
        if self
            .realm
            .chars()
            .any(|c| c == '"' || c == '\\' || c.is_control())
        {
            return Err(ConfigError::at(
                "realm",
                "quotes and backslashes cannot be sent",
            ));
        }
        let external = |provider: &&Provider| matches!(provider, Provider::External(_));
        if self.providers.iter().filter(external).count() > 1 {
            return Err(ConfigError::at("providers", "only one may be external"));
        }
        for (index, provider) in self.providers.iter().enumerate() {
            let (name, result) = match provider {
                Provider::Jwt(jwt) => ("jwt", jwt.check()),
                Provider::ApiKeys(keys) => ("api_keys", keys.check()),
                Provider::External(external) => ("external", external.check()),
                Provider::Mtls(_) => ("mtls", Ok(())),
            };
            result.map_err(|error| error.under(&format!("providers[{index}].{name}")))?;
        }
        Ok(())
    }
}

fn header_name(field: &str, name: &str) -> Result<(), ConfigError> {
    http::HeaderName::from_bytes(name.as_bytes())
        .map(drop)
        .map_err(|_| ConfigError::at(field, format!("{name:?} is not the name of a header")))
}

impl ApiKeys {
    fn check(&self) -> Result<(), ConfigError> {
        match &self.from {
            KeyLocation::Header(name) => header_name("from.header", name),
            KeyLocation::Query(name) if name.is_empty() => {
                Err(ConfigError::at("from.query", "is empty"))
            }
            KeyLocation::Query(_) => Ok(()),
        }
    }
}

impl Jwt {
    /// The algorithms in force: those named, or the default of the kind of key.
    pub fn effective_algorithms(&self) -> Vec<Algorithm> {
        use Algorithm::{ES256, ES384, EdDsa, HS256, HS384, HS512};
        use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
        match (&self.jwks, self.algorithms.is_empty()) {
            (_, false) => self.algorithms.clone(),
            (Jwks::SecretFile(_), true) => vec![HS256, HS384, HS512],
            (_, true) => vec![
                RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDsa,
            ],
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.issuer.is_empty() {
            return Err(ConfigError::at("issuer", "is empty"));
        }
        let secret = matches!(self.jwks, Jwks::SecretFile(_));
        for algorithm in &self.algorithms {
            if algorithm.is_symmetric() != secret {
                let why = format!(
                    "{algorithm:?} needs {}",
                    if secret {
                        "public keys, not jwks.secret_file"
                    } else {
                        "jwks.secret_file"
                    }
                );
                return Err(ConfigError::at("algorithms", why));
            }
        }
        if let Jwks::Url { url, .. } = &self.jwks {
            let uri: Result<http::Uri, _> = url.parse();
            if !uri.is_ok_and(|uri| uri.authority().is_some() && uri.scheme().is_some()) {
                return Err(ConfigError::at("jwks.url.url", "has no scheme and host"));
            }
        }
        if self.from.is_empty() {
            return Err(ConfigError::at("from", "is empty: where is the token?"));
        }
        for (index, location) in self.from.iter().enumerate() {
            if let TokenLocation::Header(name) = location {
                header_name(&format!("from[{index}].header"), name)?;
            }
        }
        for header in self.claims_to_headers.values() {
            header_name("claims_to_headers", header)?;
        }
        Ok(())
    }
}

impl External {
    fn check(&self) -> Result<(), ConfigError> {
        if !self.path_prefix.is_empty() && !self.path_prefix.starts_with('/') {
            return Err(ConfigError::at("path_prefix", "does not start with /"));
        }
        let lists = [
            ("forward_headers", &self.forward_headers),
            ("upstream_headers", &self.upstream_headers),
            ("client_headers", &self.client_headers),
        ];
        for (field, names) in lists {
            for name in names {
                header_name(field, name)?;
            }
        }
        for (name, value) in &self.add_headers {
            header_name("add_headers", name)?;
            if http::HeaderValue::from_str(value).is_err() {
                return Err(ConfigError::at(
                    format!("add_headers.{name}"),
                    "cannot be sent",
                ));
            }
        }
        match &self.identity_header {
            Some(name) => header_name("identity_header", name),
            None => Ok(()),
        }
    }
}
