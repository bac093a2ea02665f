//! Credentials in requests: found, and taken off again.
use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::config::{ConfigError, KeyLocation, TokenLocation};

/// A place for a credential, names parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A header that is the credential.
    Header(HeaderName),
    /// `authorization: Bearer CREDENTIAL`.
    Bearer,
    Cookie(String),
    Query(String),
}

/// There are two, and readers might not agree on which one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Several;

fn header(name: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| ConfigError::at("from.header", format!("{name:?} is not a header")))
}

impl Place {
    pub(super) fn of_key(location: &KeyLocation) -> Result<Self, ConfigError> {
        Ok(match location {
            KeyLocation::Header(name) => Self::Header(header(name)?),
            KeyLocation::Query(name) => Self::Query(name.clone()),
        })
    }

    pub(super) fn of_token(location: &TokenLocation) -> Result<Self, ConfigError> {
        Ok(match location {
            TokenLocation::Header(name) => match header(name)? {
                AUTHORIZATION => Self::Bearer,
                name => Self::Header(name),
            },
            TokenLocation::Cookie(name) => Self::Cookie(name.clone()),
            TokenLocation::Query(name) => Self::Query(name.clone()),
        })
    }

    /// The credential in a request, if there is one here.
    pub(super) fn find<'a>(&self, parts: &'a Parts) -> Result<Option<Cow<'a, str>>, Several> {
        match self {
            Self::Header(name) => {
                let value = single(parts, name)?.and_then(|value| value.to_str().ok());
                Ok(value.map(|text| Cow::Borrowed(text.trim())))
            }
            Self::Bearer => {
                let value = single(parts, &AUTHORIZATION)?.and_then(|value| value.to_str().ok());
                Ok(value.and_then(bearer).map(Cow::Borrowed))
            }
            Self::Cookie(name) => {
                let found = parts.headers.get_all(COOKIE).iter().flat_map(cookies);
                only(
                    found
                        .filter(|(key, _)| key == name)
                        .map(|(_, value)| Cow::Borrowed(value)),
                )
            }
            Self::Query(name) => {
                let query = parts.uri.query().unwrap_or_default();
                only(
                    parameters(query)
                        .filter(|(key, _)| is_named(key, name))
                        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy()),
                )
            }
        }
    }

    /// Takes the credential off.
    pub(super) fn strip(&self, parts: &mut Parts) {
        match self {
            Self::Header(name) => drop(parts.headers.remove(name)),
            Self::Bearer => {
                let value = parts.headers.get(AUTHORIZATION);
                if value
                    .and_then(|value| value.to_str().ok())
                    .is_some_and(|v| bearer(v).is_some())
                {
                    parts.headers.remove(AUTHORIZATION);
                }
            }
            Self::Cookie(name) => strip_cookie(parts, name),
            Self::Query(name) => strip_query(parts, name),
        }
    }
}

fn single<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Several> {
    only(parts.headers.get_all(name).iter())
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Result<Option<T>, Several> {
    let first = items.next();
    if items.next().is_some() {
        Err(Several)
    } else {
        Ok(first)
    }
}

/// The token of a `Bearer` value; the scheme in any case (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

fn cookies(header: &HeaderValue) -> impl Iterator<Item = (&str, &str)> {
    let text = header.to_str().unwrap_or_default();
    text.split(';').filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        Some((key, value.trim_matches('"')))
    })
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether a name in a query is `name`, in whatever encoding.
fn is_named(key: &str, name: &str) -> bool {
    key == name || key.contains('%') && percent_decode_str(key).eq(name.bytes())
}

fn strip_cookie(parts: &mut Parts, name: &str) {
    let has = |value: &HeaderValue| cookies(value).any(|(key, _)| key == name);
    if !parts.headers.get_all(COOKIE).iter().any(has) {
        return;
    }
    let kept: Vec<&str> = parts
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .map(str::trim)
        .filter(|pair| pair.split('=').next() != Some(name))
        .collect();
    match HeaderValue::from_str(&kept.join("; ")) {
        Ok(value) if !kept.is_empty() => drop(parts.headers.insert(COOKIE, value)),
        _ => drop(parts.headers.remove(COOKIE)),
    }
}

fn strip_query(parts: &mut Parts, name: &str) {
    let Some(query) = parts.uri.query() else {
        return;
    };
    if !parameters(query).any(|(key, _)| is_named(key, name)) {
        return;
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !is_named(pair.split('=').next().unwrap_or_default(), name))
        .collect();
    let path = parts.uri.path();
    let target = if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    };
    let mut pieces = std::mem::take(&mut parts.uri).into_parts();
    // Pieces of a URI that was one: neither can fail.
    pieces.path_and_query = target.parse::<PathAndQuery>().ok();
    parts.uri = Uri::from_parts(pieces).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn bearer_tokens() {
        let find = |value| {
            Place::Bearer
                .find(&parts("/", &[("authorization", value)]))
                .unwrap()
                .map(Cow::into_owned)
        };
        assert_eq!(find("Bearer abc"), Some("abc".into()));
        assert_eq!(find("bearer  abc "), Some("abc".into()));
        assert_eq!(find("Basic abc"), None);
        assert_eq!(find("Bearer"), None);
        let two = parts(
            "/",
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
        );
        assert_eq!(Place::Bearer.find(&two), Err(Several));
    }

    #[test]
    fn cookies_and_queries_lose_only_the_credential() {
        let cookie = Place::Cookie("t".into());
        let mut request = parts("/p?x=1&k=a%2Bb&y", &[("cookie", "a=1; t=abc; tt=2")]);
        assert_eq!(cookie.find(&request).unwrap().as_deref(), Some("abc"));
        cookie.strip(&mut request);
        assert_eq!(request.headers["cookie"], "a=1; tt=2");
        let query = Place::Query("k".into());
        assert_eq!(query.find(&request).unwrap().as_deref(), Some("a+b"));
        query.strip(&mut request);
        assert_eq!(request.uri, "/p?x=1&y");
        let mut only = parts("http://h:1/p?%6b=1", &[]);
        query.strip(&mut only);
        assert_eq!(only.uri, "http://h:1/p");
        assert_eq!(query.find(&parts("/?k=1&k=2", &[])), Err(Several));
    }
}
