//! Whether a filter is for a request: predicates on host, path, method and headers.

use http::header::{HOST, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method};
use regex::bytes::Regex;

use crate::declaration::{HeaderTest, Match};

/// A predicate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// An expression that this engine does not know (look-around, back references).
    #[error("~{text}: {reason}")]
    Expression {
        /// As written.
        text: String,
        /// Why.
        reason: String,
    },
    /// No name of a header.
    #[error("{0:?} is not the name of a header")]
    Header(String),
    /// No method.
    #[error("{0:?} is not a method")]
    Method(String),
}

/// One text to compare with.
#[derive(Debug)]
enum Pattern {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Expression(Box<Regex>),
}

impl Pattern {
    fn new(text: &str) -> Result<Self, PatternError> {
        if let Some(expression) = text.strip_prefix('~') {
            let regex = Regex::new(expression).map_err(|error| PatternError::Expression {
                text: expression.to_owned(),
                reason: error
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .to_owned(),
            })?;
            return Ok(Self::Expression(Box::new(regex)));
        }
        Ok(match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.as_bytes().into()),
            None => Self::Exact(text.as_bytes().into()),
        })
    }

    fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *text,
            Self::Prefix(wanted) => text.starts_with(wanted),
            Self::Expression(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug)]
enum HeaderPredicate {
    Present,
    Absent,
    Value(Pattern),
}

/// The compiled form of one [`Match`].
#[derive(Debug)]
pub struct Matcher {
    /// `example.org`, or `.example` for any subdomain.
    hosts: Vec<Box<str>>,
    paths: Vec<Pattern>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, HeaderPredicate)>,
}

impl Matcher {
    /// Compile.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub fn new(declared: &Match) -> Result<Self, PatternError> {
        let hosts = declared
            .hosts
            .iter()
            .map(|host| host.trim_start_matches('*').into())
            .collect();
        let paths = declared
            .paths
            .iter()
            .map(|path| Pattern::new(path))
            .collect::<Result<_, _>>()?;
        let methods = declared
            .methods
            .iter()
            .map(|name| {
                Method::from_bytes(name.as_bytes()).map_err(|_| PatternError::Method(name.clone()))
            })
            .collect::<Result<_, _>>()?;
        let mut headers = Vec::with_capacity(declared.headers.len());
        for (name, test) in &declared.headers {
            let predicate = match test {
                HeaderTest::Present(true) => HeaderPredicate::Present,
                HeaderTest::Present(false) => HeaderPredicate::Absent,
                HeaderTest::Text(text) => HeaderPredicate::Value(Pattern::new(text)?),
            };
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| PatternError::Header(name.clone()))?;
            headers.push((name, predicate));
        }
        Ok(Self {
            hosts,
            paths,
            methods,
            headers,
        })
    }

    /// Whether all predicates hold.
    #[must_use]
    pub fn is_match(&self, parts: &Parts) -> bool {
        (self.methods.is_empty() || self.methods.contains(&parts.method))
            && (self.paths.is_empty() || {
                let path = parts.uri.path().as_bytes();
                self.paths.iter().any(|pattern| pattern.is_match(path))
            })
            && (self.hosts.is_empty() || self.is_host(host_of(parts)))
            && self
                .headers
                .iter()
                .all(|(name, test)| is_header(&parts.headers, name, test))
    }

    fn is_host(&self, host: &str) -> bool {
        self.hosts
            .iter()
            .any(|wanted| match wanted.strip_prefix('.') {
                Some(_) => {
                    // At least one letter before the dot; compared without regard to case.
                    host.len() > wanted.len()
                        && host
                            .get(host.len() - wanted.len()..)
                            .is_some_and(|tail| tail.eq_ignore_ascii_case(wanted))
                }
                None => host.eq_ignore_ascii_case(wanted),
            })
    }
}

fn is_header(headers: &HeaderMap, name: &HeaderName, test: &HeaderPredicate) -> bool {
    match test {
        HeaderPredicate::Present => headers.contains_key(name),
        HeaderPredicate::Absent => !headers.contains_key(name),
        HeaderPredicate::Value(pattern) => headers
            .get_all(name)
            .iter()
            .any(|value| pattern.is_match(value.as_bytes())),
    }
}

/// The host that was asked for, without its port; empty when there is none.
fn host_of(parts: &Parts) -> &str {
    if let Some(authority) = parts.uri.authority() {
        return authority.host();
    }
    let text = parts
        .headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match text.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => text,
    }
}

#[cfg(test)]
#[path = "matcher_test.rs"]
mod tests;
