//! Authentication: the providers of one place, asked in turn.
//!
//! | module | concept |
//! | --- | --- |
//! | `credential` | where credentials are in a request |
//! | `keys` | API keys |
//! | `external` | asking another service |
mod credential;
mod external;
mod keys;

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue};

pub use external::{Answer, Check, MAX_BODY};

use crate::config::{
    ApiKeys, Authentication, ConfigError, Jwt, Mtls, Provider, Requirement, TokenHandling,
};
use crate::facts::{Facts, Now};
use crate::jwt::{Fetch, TokenError, Verifier};
use crate::pattern;
use crate::principal::{Principal, Principals};
use crate::refusal::{Reason, Refusal};
use credential::Place;
use external::External;
use keys::Keys;

/// The providers of one place (a listener, a route), ready to be asked.
#[derive(Debug)]
pub struct Authenticator {
    methods: Vec<Method>,
    external: Option<Arc<External>>,
    requirement: Requirement,
    realm: String,
    /// Headers that only we may set.
    reserved: Vec<HeaderName>,
    /// Credentials that do not go upstream.
    stripped: Vec<Place>,
}

enum Method {
    Keys {
        file: String,
        place: Place,
        keys: Keys,
    },
    Jwt {
        places: Vec<Place>,
        verifier: Box<Verifier>,
    },
    Mtls {
        identities: Vec<String>,
    },
}

/// What to do with a request.
#[derive(Debug)]
pub enum Verdict {
    /// Let it pass, after [`Authenticator::apply`].
    Accept(Accepted),
    /// Answer with this.
    Refuse(Refusal),
    /// Ask this, then [`Check::conclude`].
    Ask(Box<Check>),
    /// The token needs keys that can be fetched now: run [`Authenticator::fetches`], and when
    /// they are done check again with `last`.
    AwaitKeys,
}

/// Who called, and what the upstream is told.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// Who called.
    pub principals: Principals,
    /// Headers out of an external answer.
    set: Vec<(HeaderName, HeaderValue)>,
}

/// A fetch that is due, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueFetch {
    /// The provider to give the outcome to: [`Authenticator::fetched`].
    pub provider: usize,
    /// What to fetch.
    pub fetch: Fetch,
}

/// What one provider says.
enum Proof {
    Missing,
    Good(Principal),
    Wrong(Refusal),
    Await,
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keys { file, .. } => f.debug_struct("Keys").field("file", file).finish(),
            Self::Jwt { verifier, .. } => verifier.fmt(f),
            Self::Mtls { identities } => f.debug_tuple("Mtls").field(identities).finish(),
        }
    }
}

impl Method {
    fn keys(config: &ApiKeys) -> Result<Self, ConfigError> {
        Ok(Self::Keys {
            file: config.file.clone(),
            place: Place::of_key(&config.from)?,
            keys: Keys::default(),
        })
    }

    fn jwt(config: &Jwt) -> Result<Self, ConfigError> {
        let places = config.from.iter().map(Place::of_token);
        Ok(Self::Jwt {
            places: places.collect::<Result<_, _>>()?,
            verifier: Box::new(Verifier::new(config)?),
        })
    }

    fn mtls(config: &Mtls) -> Self {
        Self::Mtls {
            identities: config.identities.clone(),
        }
    }

    fn file(&self) -> Option<&str> {
        match self {
            Self::Keys { file, .. } => Some(file),
            Self::Jwt { verifier, .. } => verifier.file(),
            Self::Mtls { .. } => None,
        }
    }

    fn load(&self, content: &[u8]) -> Result<(), String> {
        match self {
            Self::Keys { keys, .. } => keys.replace(content),
            Self::Jwt { verifier, .. } => verifier.replace(content),
            Self::Mtls { .. } => Ok(()),
        }
    }

    fn prove(&self, parts: &Parts, facts: &Facts, now: Now, last: bool) -> Proof {
        match self {
            Self::Keys { place, keys, .. } => match place.find(parts) {
                Ok(None) => Proof::Missing,
                Ok(Some(key)) => match keys.holder(&key, now.unix) {
                    Some(holder) => Proof::Good(Principal::Key(holder)),
                    None => wrong(Reason::InvalidKey, "the API key is not valid"),
                },
                Err(credential::Several) => wrong(Reason::InvalidKey, "more than one API key"),
            },
            Self::Jwt { places, verifier } => jwt(places, verifier, parts, now, last),
            Self::Mtls { identities } => match &facts.identity {
                None => Proof::Missing,
                Some(identity)
                    if identities.is_empty()
                        || identities.iter().any(|own| pattern::name(own, identity)) =>
                {
                    Proof::Good(Principal::Peer(Arc::clone(identity)))
                }
                Some(_) => wrong(
                    Reason::UnknownPeer,
                    "the client certificate is not accepted",
                ),
            },
        }
    }
}

fn wrong(reason: Reason, message: &'static str) -> Proof {
    Proof::Wrong(Refusal::new(reason, message))
}

fn jwt(places: &[Place], verifier: &Verifier, parts: &Parts, now: Now, last: bool) -> Proof {
    let found = places
        .iter()
        .find_map(|place| place.find(parts).transpose());
    let result = match &found {
        None => return Proof::Missing,
        Some(Err(credential::Several)) => Err(TokenError::Several),
        Some(Ok(text)) => verifier.verify(text, now),
    };
    let error = match result {
        Ok(token) => return Proof::Good(Principal::Token(token)),
        Err(error) => error,
    };
    let absent = matches!(error, TokenError::UnknownKey | TokenError::NoKeys);
    if absent && !last {
        let wanted = verifier
            .refresh()
            .is_some_and(|refresh| refresh.want(now.monotonic_ns));
        if wanted {
            return Proof::Await;
        }
    }
    let reason = match error {
        TokenError::Expired | TokenError::NotYet => Reason::ExpiredToken,
        TokenError::NoKeys => Reason::KeysUnavailable,
        _ => Reason::InvalidToken,
    };
    Proof::Wrong(Refusal::new(
        reason,
        Cow::Owned(format!("the token is not accepted: {error}")),
    ))
}

impl Authenticator {
    /// Providers as configured; `read` gives the content of a file.
    ///
    /// # Errors
    /// What [`Authentication::check`] refuses, and files that cannot be read or understood, at
    /// the field that names them.
    pub fn new(
        config: &Authentication,
        read: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut this = Self {
            methods: Vec::new(),
            external: None,
            requirement: config.requirement,
            realm: config.realm.clone(),
            reserved: Vec::new(),
            stripped: Vec::new(),
        };
        for (index, provider) in config.providers.iter().enumerate() {
            this.add(provider, read)
                .map_err(|error| error.under(&format!("providers[{index}]")))?;
        }
        Ok(this)
    }

    fn add(
        &mut self,
        provider: &Provider,
        read: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<(), ConfigError> {
        let (field, method, handling) = match provider {
            Provider::ApiKeys(keys) => ("api_keys.file", Method::keys(keys)?, keys.credential),
            Provider::Jwt(jwt) => ("jwt.jwks", Method::jwt(jwt)?, jwt.token),
            Provider::Mtls(mtls) => ("mtls", Method::mtls(mtls), TokenHandling::Forward),
            Provider::External(config) => {
                let external = External::new(config).map_err(|error| error.under("external"))?;
                self.reserved.extend(external.upstream.iter().cloned());
                self.reserved.extend(external.identity.iter().cloned());
                self.external = Some(Arc::new(external));
                return Ok(());
            }
        };
        if let Some(path) = method.file() {
            let loaded = read(path).and_then(|content| method.load(&content));
            loaded.map_err(|why| ConfigError::at(field, format!("{path}: {why}")))?;
        }
        match &method {
            Method::Jwt { verifier, places } => {
                self.reserved.extend(verifier.headers().cloned());
                if handling == TokenHandling::Strip {
                    self.stripped.extend(places.iter().cloned());
                }
            }
            Method::Keys { place, .. } if handling == TokenHandling::Strip => {
                self.stripped.push(place.clone());
            }
            _ => {}
        }
        self.methods.push(method);
        Ok(())
    }

    /// The files to watch.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().filter_map(Method::file)
    }

    /// Takes the new content of one of the [`files`](Self::files).
    ///
    /// # Errors
    /// Why it cannot be understood; what was read before stays in force.
    pub fn reload(&self, path: &str, content: &[u8]) -> Result<(), String> {
        let users = self
            .methods
            .iter()
            .filter(|method| method.file() == Some(path));
        for method in users {
            method
                .load(content)
                .map_err(|why| format!("{path}: {why}"))?;
        }
        Ok(())
    }

    /// Begins the fetches of keys that are due; each outcome goes to [`fetched`](Self::fetched).
    pub fn fetches(&self, now: Now) -> Vec<DueFetch> {
        let due = |(provider, method): (usize, &Method)| {
            let fetch = method.refresh()?.begin(now.monotonic_ns)?;
            Some(DueFetch { provider, fetch })
        };
        self.methods.iter().enumerate().filter_map(due).collect()
    }

    /// When [`fetches`](Self::fetches) has something next (monotonic ns); None: nothing to wait
    /// for, or all of it under way.
    pub fn next_fetch(&self) -> Option<u64> {
        self.methods
            .iter()
            .filter_map(|method| method.refresh()?.next())
            .min()
    }

    /// The outcome of a fetch: the body of a 200, or why there is none.
    ///
    /// # Errors
    /// Why there are no new keys, for the log; the old keys stay.
    pub fn fetched(
        &self,
        provider: usize,
        outcome: Result<&[u8], String>,
        now: Now,
    ) -> Result<(), String> {
        match self.methods.get(provider) {
            Some(Method::Jwt { verifier, .. }) => verifier.fetched(outcome, now),
            _ => Err(format!("provider {provider} fetches nothing")),
        }
    }

    /// Decides about a request. `last`: keys were waited for already.
    pub fn check(&self, parts: &Parts, facts: &Facts, now: Now, last: bool) -> Verdict {
        let mut proved = Accepted::default();
        let mut failure: Option<Refusal> = None;
        let mut awaits = false;
        let all = self.requirement == Requirement::All;
        for method in &self.methods {
            match method.prove(parts, facts, now, last) {
                Proof::Good(principal) => {
                    proved.principals.push(principal);
                    if !all {
                        return Verdict::Accept(proved);
                    }
                }
                Proof::Await if all => return Verdict::AwaitKeys,
                Proof::Await => awaits = true,
                Proof::Wrong(refusal) if all => return self.refuse(refusal),
                Proof::Wrong(refusal) => failure = failure.or(Some(refusal)),
                Proof::Missing if all => return self.refuse(missing()),
                Proof::Missing => {}
            }
        }
        if awaits {
            return Verdict::AwaitKeys;
        }
        match (failure, &self.external) {
            (Some(refusal), _) if self.requirement == Requirement::Optional => self.refuse(refusal),
            (_, Some(external)) => Verdict::Ask(Box::new(external.ask(parts, proved))),
            (Some(refusal), None) => self.refuse(refusal),
            (None, None) if self.requirement == Requirement::Any => self.refuse(missing()),
            (None, None) => Verdict::Accept(proved),
        }
    }

    /// Makes the request what the upstream may see: credentials and reserved headers go,
    /// headers out of claims and of the external answer come.
    pub fn apply(&self, accepted: &Accepted, parts: &mut Parts) {
        for place in &self.stripped {
            place.strip(parts);
        }
        for name in &self.reserved {
            parts.headers.remove(name);
        }
        for principal in accepted.principals.iter() {
            if let Principal::Token(token) = principal {
                for (name, value) in token.headers() {
                    parts.headers.insert(name, value.clone());
                }
            }
            if let (Principal::External(name), Some(header)) = (
                principal,
                self.external.as_ref().and_then(|e| e.identity.as_ref()),
            ) && let Ok(value) = HeaderValue::from_str(name)
            {
                parts.headers.insert(header, value);
            }
        }
        for (name, value) in &accepted.set {
            parts.headers.append(name, value.clone());
        }
    }

    fn refuse(&self, mut refusal: Refusal) -> Verdict {
        if refusal.status == http::StatusCode::UNAUTHORIZED {
            for challenge in self.challenges(&refusal) {
                refusal = refusal.challenge(challenge);
            }
        }
        Verdict::Refuse(refusal)
    }

    /// `WWW-Authenticate`: one for each kind (RFC 9110, 11.6.1); an error code only for a token
    /// that was shown (RFC 6750, 3.1).
    fn challenges(&self, refusal: &Refusal) -> Vec<HeaderValue> {
        let realm = &self.realm;
        let shown = matches!(refusal.reason, Reason::InvalidToken | Reason::ExpiredToken);
        let mut texts: Vec<String> = Vec::new();
        for method in &self.methods {
            let text = match method {
                Method::Jwt { .. } if shown => format!(
                    "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{}\"",
                    refusal.message
                ),
                Method::Jwt { .. } => format!("Bearer realm=\"{realm}\""),
                Method::Keys { .. } => format!("ApiKey realm=\"{realm}\""),
                Method::Mtls { .. } => format!("Certificate realm=\"{realm}\""),
            };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
            .iter()
            .filter_map(|text| HeaderValue::from_str(text).ok())
            .collect()
    }
}

impl Method {
    fn refresh(&self) -> Option<&crate::jwt::Refresh> {
        match self {
            Self::Jwt { verifier, .. } => verifier.refresh(),
            _ => None,
        }
    }
}

fn missing() -> Refusal {
    Refusal::new(Reason::MissingCredential, "no credential was shown")
}

#[cfg(test)]
mod tests;
