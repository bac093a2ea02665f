//! Rate limits: which buckets a request needs, and all of their tokens or none.
//!
//! | module | concept |
//! | --- | --- |
//! | `bucket` | one token bucket: GCRA on an atomic |
//! | `table` | many, by key, in bounded memory |
mod bucket;
mod table;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use bucket::{Bucket, Pace, Take};
pub use table::Table;

use crate::config::{ClientKey, ConfigError, Key, RateLimit, ResponseHeaders, TenantKey};
use crate::facts::Facts;
use crate::hash;
use crate::principal::Principals;
use crate::refusal::{Reason, Refusal};

/// The limits of one place: a gateway, a route, a cluster.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    limits: Vec<Limit>,
}

#[derive(Debug, Clone)]
struct Limit {
    name: Arc<str>,
    pace: Pace,
    key: KeyOf,
    headers: ResponseHeaders,
    max_keys: usize,
    buckets: Buckets,
}

#[derive(Debug, Clone)]
enum Buckets {
    One(Arc<Bucket>),
    Many(Arc<Table>),
}

/// A key with its header's name parsed.
#[derive(Debug, Clone, PartialEq)]
enum KeyOf {
    Gateway,
    Route,
    Tenant,
    Claim(String),
    Address,
    Identity,
    Header(HeaderName),
    Field(String),
}

/// What a limiter needs to know about a request.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The head of the request.
    pub parts: &'a Parts,
    /// The connection it came on.
    pub facts: &'a Facts,
    /// Who called.
    pub principals: &'a Principals,
    /// The route that was chosen: its name, or any stable text (empty before routing).
    pub route: &'a str,
    /// The values of the [`Limiter::fields`] of the message, as bytes; usually empty.
    pub fields: &'a [(&'a str, &'a [u8])],
}

/// What is left after a request was let through: of the limit with `response_headers` that has
/// least left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    tightest: Option<Left>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    limit: u64,
    remaining: u64,
    reset_ns: u64,
}

impl KeyOf {
    fn new(key: &Key) -> Result<Self, ConfigError> {
        let header = |name: &str| {
            HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| ConfigError::at("key", format!("{name:?} is not a header")))
        };
        Ok(match key {
            Key::Gateway => Self::Gateway,
            Key::Route => Self::Route,
            Key::Tenant(TenantKey::Credential) => Self::Tenant,
            Key::Tenant(TenantKey::Claim(claim)) => Self::Claim(claim.clone()),
            Key::Field(path) => Self::Field(path.clone()),
            Key::Client(ClientKey::Address) => Self::Address,
            Key::Client(ClientKey::Identity) => Self::Identity,
            Key::Tenant(TenantKey::Header(name)) | Key::Header(name) => header(name)?,
        })
    }

    /// The hash of the key's value for a request.
    fn hash(&self, subject: &Subject) -> u64 {
        match self {
            Self::Gateway => 0,
            Self::Route => hash::of(subject.route),
            Self::Tenant => hash::of(subject.principals.tenant().unwrap_or_default()),
            Self::Claim(name) => hash::of(&*claim(subject.principals, name)),
            Self::Address => hash::of(&client(subject.facts.client)),
            Self::Identity => match (subject.principals.first(), &subject.facts.identity) {
                (Some(principal), _) => hash::of(principal.name()),
                (None, Some(identity)) => hash::of(&**identity),
                (None, None) => hash::of(&client(subject.facts.client)),
            },
            Self::Field(path) => {
                let value = subject.fields.iter().find(|(own, _)| own == path);
                hash::of(value.map_or(&b""[..], |(_, value)| value))
            }
            Self::Header(name) => hash::of(
                subject
                    .parts
                    .headers
                    .get(name)
                    .map_or(&b""[..], HeaderValue::as_bytes),
            ),
        }
    }
}

fn claim<'a>(principals: &'a Principals, name: &str) -> Cow<'a, str> {
    let found = principals
        .iter()
        .filter_map(|principal| principal.claims())
        .find_map(|claims| crate::jwt::claim(claims, name));
    match found {
        Some(serde_json::Value::String(text)) => Cow::Borrowed(text),
        Some(other) => Cow::Owned(other.to_string()),
        None => Cow::Borrowed(""),
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 one.
fn client(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        // A /64 with the first 32 bits zero is not routed, so the two do not meet.
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

impl Limit {
    fn new(config: &RateLimit) -> Result<Self, ConfigError> {
        config.check()?;
        let key = KeyOf::new(&config.key)?;
        let buckets = match key {
            KeyOf::Gateway => Buckets::One(Arc::default()),
            _ => Buckets::Many(Arc::new(Table::new(config.max_keys))),
        };
        Ok(Self {
            name: config.name.as_str().into(),
            pace: Pace::new(config.per_second(), config.effective_burst()),
            key,
            headers: config.response_headers,
            max_keys: config.max_keys,
            buckets,
        })
    }

    fn cell(&self, subject: &Subject, now_ns: u64) -> Option<&AtomicU64> {
        match &self.buckets {
            Buckets::One(bucket) => Some(&bucket.0),
            Buckets::Many(table) => table.cell(self.key.hash(subject), now_ns),
        }
    }

    fn refuse(&self, wait_ns: u64) -> Refusal {
        Refusal::new(
            Reason::RateLimited,
            format!("rate limit {} reached", self.name),
        )
        .detail(Arc::clone(&self.name))
        .retry_after(Duration::from_nanos(wait_ns))
    }
}

impl Limiter {
    /// Limits as configured.
    ///
    /// # Errors
    /// What [`RateLimit::check`] refuses, or a name that is used twice; at `[INDEX].FIELD`.
    pub fn new(configs: &[RateLimit]) -> Result<Self, ConfigError> {
        let mut limits: Vec<Limit> = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            let limit = Limit::new(config).map_err(|error| error.under(&format!("[{index}]")))?;
            if limits.iter().any(|other| other.name == limit.name) {
                let why = format!("{:?} is used twice", config.name);
                return Err(ConfigError::at(format!("[{index}].name"), why));
            }
            limits.push(limit);
        }
        Ok(Self { limits })
    }

    /// Goes on with the buckets of `old` where name, key and pace are the same, so that a new
    /// configuration does not give everybody a full bucket.
    #[must_use]
    pub fn continuing(mut self, old: &Self) -> Self {
        for limit in &mut self.limits {
            let same = |other: &&Limit| {
                other.name == limit.name
                    && other.key == limit.key
                    && other.pace == limit.pace
                    && other.max_keys == limit.max_keys
            };
            if let Some(other) = old.limits.iter().find(same) {
                limit.buckets = other.buckets.clone();
            }
        }
        self
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// The fields of the message that have to be known first: resolve them once for the method,
    /// and check when the first message is there.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().filter_map(|limit| match &limit.key {
            KeyOf::Field(path) => Some(path.as_str()),
            _ => None,
        })
    }

    /// One token of every limit, or none of any and the refusal of the first that has too few.
    pub fn check(&self, subject: &Subject, now_ns: u64) -> Result<Grant, Refusal> {
        Self::check_all(&[self], subject, now_ns)
    }

    /// The same for several limiters together (gateway, route, cluster).
    pub fn check_all(limiters: &[&Self], subject: &Subject, now_ns: u64) -> Result<Grant, Refusal> {
        let mut limits = limiters.iter().flat_map(|limiter| &limiter.limits);
        let mut grant = Grant::default();
        take_each(&mut limits, subject, now_ns, &mut grant)?;
        Ok(grant)
    }
}

/// Takes from each in turn; when a later one refuses, gives back on the way out.
fn take_each(
    limits: &mut dyn Iterator<Item = &Limit>,
    subject: &Subject,
    now_ns: u64,
    grant: &mut Grant,
) -> Result<(), Refusal> {
    let Some(limit) = limits.next() else {
        return Ok(());
    };
    let Some(cell) = limit.cell(subject, now_ns) else {
        return take_each(limits, subject, now_ns, grant);
    };
    let (take, after) = bucket::take(cell, &limit.pace, 1, now_ns);
    if let Take::Wait(ns) = take {
        return Err(limit.refuse(ns));
    }
    grant.note(limit, after, now_ns);
    let rest = take_each(limits, subject, now_ns, grant);
    if rest.is_err() {
        bucket::give_back(cell, &limit.pace, 1, after);
    }
    rest
}

impl Grant {
    fn note(&mut self, limit: &Limit, after: u64, now_ns: u64) {
        if limit.headers == ResponseHeaders::Off {
            return;
        }
        let left = Left {
            limit: limit.pace.burst(),
            remaining: limit.pace.remaining(after, now_ns),
            reset_ns: limit.pace.reset_ns(after, now_ns),
        };
        if self
            .tightest
            .is_none_or(|other| left.remaining < other.remaining)
        {
            self.tightest = Some(left);
        }
    }

    /// Puts `x-ratelimit-*` on the response, if some limit wants that.
    pub fn annotate(&self, headers: &mut HeaderMap) {
        let Some(left) = self.tightest else { return };
        let seconds = left.reset_ns.div_ceil(1_000_000_000);
        headers.insert(
            HeaderName::from_static("x-ratelimit-limit"),
            left.limit.into(),
        );
        headers.insert(
            HeaderName::from_static("x-ratelimit-remaining"),
            left.remaining.into(),
        );
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), seconds.into());
    }
}

#[cfg(test)]
mod tests;
