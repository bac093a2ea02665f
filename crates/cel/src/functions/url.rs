//! `kubernetes.URL`, read like Go's `url.ParseRequestURI`.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::no_overload;
use crate::error::Fault;
use crate::json::quoted;
use crate::schema::Schema;
use crate::value::{Entries, Key, Map, Outcome, Value};

/// An absolute URL, or an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// The parts of a text.
    pub fn parse(text: &str) -> Result<Url, String> {
        let fail = |why: &str| Err(format!("parse {}: {why}", quoted(text)));
        if text.is_empty() {
            return fail("empty url");
        }
        if text.bytes().any(|c| c < 0x20 || c == 0x7f) {
            return fail("net/url: invalid control character in URL");
        }
        let (main, _fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = match scheme(main) {
            Ok(found) => found,
            Err(why) => return fail(why),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            // An opaque URL such as `mailto:x` has neither host nor path.
            if scheme.is_empty() {
                return fail("invalid URI for request");
            }
            return Ok(Url {
                text: text.to_owned(),
                scheme: scheme.to_lowercase(),
                host: String::new(),
                path: String::new(),
                query: query.to_owned(),
            });
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(after) if !scheme.is_empty() || !after.starts_with('/') => {
                after.find('/').map_or((after, ""), |at| after.split_at(at))
            }
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if let Err(why) = check_host(host).and_then(|()| check_escapes(path)) {
            return fail(&why);
        }
        Ok(Url {
            text: text.to_owned(),
            scheme: scheme.to_lowercase(),
            host: host.to_owned(),
            path: escaped(path),
            query: query.to_owned(),
        })
    }

    fn host_and_port(&self) -> (&str, &str) {
        if let Some(rest) = self.host.strip_prefix('[') {
            let (name, after) = rest.split_once(']').unwrap_or((rest, ""));
            return (name, after.strip_prefix(':').unwrap_or(""));
        }
        match self.host.rsplit_once(':') {
            Some((name, port)) => (name, port),
            None => (&self.host, ""),
        }
    }
}

fn scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            '0'..='9' | '+' | '-' | '.' => return Ok(("", text)),
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn check_host(host: &str) -> Result<(), String> {
    let bad = |c: char| {
        !(c.is_ascii_alphanumeric() || !c.is_ascii() || "-._~!$&'()*+,;=:[]<>\"%".contains(c))
    };
    if let Some(c) = host.chars().find(|c| bad(*c)) {
        return Err(format!(
            "invalid character {} in host name",
            quoted(&c.to_string())
        ));
    }
    let port = if let Some(rest) = host.strip_prefix('[') {
        let (_, after) = rest.split_once(']').ok_or("missing ']' in host")?;
        after
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(digits) {
        return Err(format!("invalid port {} after host", quoted(port)));
    }
    check_escapes(host)
}

fn check_escapes(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (at, c) in bytes.iter().enumerate() {
        if *c == b'%' {
            let end = (at + 3).min(bytes.len());
            let good = end == at + 3 && bytes[at + 1..end].iter().all(u8::is_ascii_hexdigit);
            if !good {
                let shown = String::from_utf8_lossy(&bytes[at..end]);
                return Err(format!("invalid URL escape {}", quoted(&shown)));
            }
        }
    }
    Ok(())
}

fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$&+,/:;=@%!'()*[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&pair).unwrap_or("");
                out.extend(u8::from_str_radix(digits, 16).ok());
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn query(url: &Url) -> Value {
    let mut found: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for pair in url
        .query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if check_escapes(name).is_err() || check_escapes(value).is_err() {
            continue;
        }
        let key = Key::String(Arc::from(unescaped(name)));
        found
            .entry(key)
            .or_default()
            .push(Value::from(unescaped(value)));
    }
    let entries = found
        .into_iter()
        .map(|(key, values)| (key, Value::from(values)))
        .collect();
    Value::Map(Map {
        entries: Entries::Made(Arc::new(entries)),
        schema: Schema::dynamic().clone(),
    })
}

/// The functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    Ok(match (name, args) {
        ("url", [Value::String(text)]) => {
            Value::Url(Arc::new(Url::parse(text).map_err(|why| {
                Fault::new(format!(
                    "URL parse error during conversion from string: {why}"
                ))
            })?))
        }
        ("isURL", [Value::String(text)]) => Value::Bool(Url::parse(text).is_ok()),
        ("getScheme", [Value::Url(url)]) => Value::from(url.scheme.as_str()),
        ("getHost", [Value::Url(url)]) => Value::from(url.host.as_str()),
        ("getHostname", [Value::Url(url)]) => Value::from(url.host_and_port().0),
        ("getPort", [Value::Url(url)]) => Value::from(url.host_and_port().1),
        ("getEscapedPath", [Value::Url(url)]) => Value::from(url.path.as_str()),
        ("getQuery", [Value::Url(url)]) => query(url),
        _ => return Err(no_overload(name, args)),
    })
}
