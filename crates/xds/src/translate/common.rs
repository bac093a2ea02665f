//! Addresses, matchers, headers, percentages: what several resources are made of.
use std::{net::IpAddr, path::Path, sync::Arc};

use cloudwright_config::{
    Address,
    matching::{Pattern, ValueMatch},
    policy::{HeaderEdits, RegexRewrite},
    secret::Pem,
};

use super::context::{Bad, Context, Warning, shared, unread};
use crate::{schema::core as schema, wire::Value};

/// `core.Address`.
pub fn address(cx: &mut Context, bytes: &[u8]) -> Result<Address, Bad> {
    let mut found = None;
    cx.read(&schema::ADDRESS, bytes, |cx, name, value| {
        found = Some(match name {
            "socket_address" => socket_address(cx, value.bytes()?)?,
            "pipe" => pipe(cx, value.bytes()?)?,
            _ => return unread(name),
        });
        Ok(())
    })?;
    found.ok_or_else(|| Bad::new("an address is needed"))
}

fn pipe(cx: &mut Context, bytes: &[u8]) -> Result<Address, Bad> {
    let mut path = "";
    cx.read(&schema::PIPE, bytes, |_, name, value| match name {
        "path" => {
            path = value.text()?;
            Ok(())
        }
        _ => unread(name),
    })?;
    if !path.starts_with('/') {
        return Err(Bad::new(format!("{path:?} is no absolute path")).within("path"));
    }
    Ok(Address::Unix(Path::new(path).into()))
}

fn socket_address(cx: &mut Context, bytes: &[u8]) -> Result<Address, Bad> {
    let (mut host, mut port) = ("", None);
    cx.read(&schema::SOCKET_ADDRESS, bytes, |_, name, value| {
        match name {
            "protocol" if value.u64()? != 0 => return Err(Bad::unsupported()),
            "protocol" => {}
            "address" => host = value.text()?,
            "port_value" => {
                port = Some(u16::try_from(value.u64()?).map_err(|_| Bad::new("is above 65535"))?);
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    let port = port.unwrap_or(0);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Address::Ip((ip, port).into()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.starts_with('.') || !host.chars().all(plain) {
        return Err(Bad::new(format!("{host:?} is neither IP nor name")).within("address"));
    }
    Ok(Address::Name(host.into(), port))
}

/// `core.ConfigSource`: only this very stream.
pub fn config_source(cx: &mut Context, bytes: &[u8]) -> Result<(), Bad> {
    cx.read(&schema::CONFIG_SOURCE, bytes, |_, name, _| match name {
        "ads" | "self" => Ok(()),
        _ => unread(name),
    })
}

/// `core.DataSource` of PEM text.
pub fn pem(cx: &mut Context, bytes: &[u8]) -> Result<Pem, Bad> {
    let mut found = None;
    cx.read(&schema::DATA_SOURCE, bytes, |_, name, value| {
        found = Some(match name {
            "filename" => Pem::File(value.text()?.into()),
            "inline_bytes" | "inline_string" => Pem::Inline(value.text()?.into()),
            _ => return unread(name),
        });
        Ok(())
    })?;
    found.ok_or_else(|| Bad::new("filename, inline_bytes or inline_string is needed"))
}

/// `core.DataSource` of a text that is answered.
pub fn text(cx: &mut Context, bytes: &[u8]) -> Result<Arc<str>, Bad> {
    match pem(cx, bytes)? {
        Pem::Inline(text) => Ok(text),
        Pem::File(_) => Err(Bad::unsupported().within("filename")),
    }
}

/// `type.FractionalPercent`, in percent.
pub fn fraction(cx: &mut Context, bytes: &[u8]) -> Result<f64, Bad> {
    let (mut numerator, mut denominator) = (0, 100.0);
    cx.read(&schema::FRACTION, bytes, |_, name, value| {
        match name {
            "numerator" => numerator = value.u32()?,
            "denominator" => {
                denominator = match value.u64()? {
                    0 => 100.0,
                    1 => 10_000.0,
                    2 => 1_000_000.0,
                    _ => return Err(Bad::unsupported()),
                }
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    let percent = f64::from(numerator) * 100.0 / denominator;
    if percent > 100.0 {
        return Err(Bad::new("is above 100 %"));
    }
    Ok(percent)
}

/// `core.RuntimeFractionalPercent`, in percent; there is no runtime, so the default counts.
pub fn runtime_fraction(cx: &mut Context, bytes: &[u8]) -> Result<f64, Bad> {
    let mut percent = 100.0;
    cx.read(
        &schema::RUNTIME_FRACTION,
        bytes,
        |cx, name, value| match name {
            "default_value" => {
                percent = fraction(cx, value.bytes()?)?;
                Ok(())
            }
            _ => unread(name),
        },
    )?;
    Ok(percent)
}

/// `type.Percent`.
pub fn percent(cx: &mut Context, bytes: &[u8]) -> Result<f64, Bad> {
    let mut found = 0.0;
    cx.read(&schema::PERCENT, bytes, |_, name, value| match name {
        "value" => {
            found = value.double()?;
            Ok(())
        }
        _ => unread(name),
    })?;
    if (0.0..=100.0).contains(&found) {
        Ok(found)
    } else {
        Err(Bad::new("is not from 0 to 100"))
    }
}

/// `type.Int64Range`: from, and the first that is beyond.
pub fn range(cx: &mut Context, bytes: &[u8]) -> Result<(i64, i64), Bad> {
    let mut found = (0, 0);
    cx.read(&schema::INT64_RANGE, bytes, |_, name, value| {
        match name {
            "start" => found.0 = value.i64()?,
            "end" => found.1 = value.i64()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(found)
}

/// A regular expression, compiled.
pub fn compile(text: &str) -> Result<Pattern, Bad> {
    Pattern::new(text).map_err(|why| {
        let why = why.to_string();
        let line = why.lines().last().unwrap_or_default();
        Bad::new(format!("{text:?} is no regular expression: {line}"))
    })
}

/// `matcher.RegexMatcher`.
pub fn regex(cx: &mut Context, bytes: &[u8]) -> Result<Pattern, Bad> {
    let mut found = "";
    cx.read(&schema::REGEX_MATCHER, bytes, |_, name, value| match name {
        "regex" => {
            found = value.text()?;
            Ok(())
        }
        _ => unread(name),
    })?;
    compile(found).map_err(|bad| bad.within("regex"))
}

/// `matcher.RegexMatchAndSubstitute`; RE2's `\1` becomes `${1}`.
pub fn regex_rewrite(cx: &mut Context, bytes: &[u8]) -> Result<RegexRewrite, Bad> {
    let (mut pattern, mut replacement) = (None, String::new());
    cx.read(&schema::REGEX_REWRITE, bytes, |cx, name, value| {
        match name {
            "pattern" => pattern = Some(regex(cx, value.bytes()?)?),
            "substitution" => replacement = substitution(value.text()?)?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(RegexRewrite {
        pattern: pattern.ok_or_else(|| Bad::new("is needed").within("pattern"))?,
        replacement: replacement.into(),
    })
}

fn substitution(text: &str) -> Result<String, Bad> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(one) = rest.next() {
        match one {
            '$' => out.push_str("$$"),
            '\\' => match rest.next() {
                Some('\\') => out.push('\\'),
                Some(digit @ '0'..='9') => {
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                _ => {
                    return Err(Bad::new(format!(
                        "{text:?}: \\ needs a digit or \\ after it"
                    )));
                }
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

/// `matcher.StringMatcher`.
pub fn string_matcher(cx: &mut Context, bytes: &[u8]) -> Result<ValueMatch, Bad> {
    let (mut found, mut ignore_case) = (None, false);
    cx.read(&schema::STRING_MATCHER, bytes, |cx, name, value| {
        match name {
            "ignore_case" => ignore_case = value.bool()?,
            "safe_regex" => found = Some(ValueMatch::Regex(regex(cx, value.bytes()?)?)),
            "exact" => found = Some(ValueMatch::Exact(shared(value.text()?))),
            "prefix" => found = Some(ValueMatch::Prefix(shared(value.text()?))),
            "suffix" => found = Some(ValueMatch::Suffix(shared(value.text()?))),
            "contains" => found = Some(ValueMatch::Contains(shared(value.text()?))),
            _ => return unread(name),
        }
        Ok(())
    })?;
    let found = found.ok_or_else(|| Bad::new("a pattern is needed"))?;
    if !ignore_case {
        return Ok(found);
    }
    let (before, text, after) = match &found {
        ValueMatch::Exact(text) => ("", text, ""),
        ValueMatch::Prefix(text) => ("", text, ".*"),
        ValueMatch::Suffix(text) => (".*", text, ""),
        ValueMatch::Contains(text) => (".*", text, ".*"),
        // Envoy does not look at it for expressions either.
        _ => return Ok(found),
    };
    let text = format!("(?is){before}{}{after}", regex::escape(text));
    compile(&text).map(ValueMatch::Regex)
}

/// Adds one `core.HeaderValueOption` to `edits`.
pub fn header_option(
    cx: &mut Context,
    value: Value<'_>,
    edits: &mut HeaderEdits,
) -> Result<(), Bad> {
    let (mut header, mut append, mut action) = (("", ""), None, 0);
    cx.read(
        &schema::HEADER_VALUE_OPTION,
        value.bytes()?,
        |cx, name, value| {
            match name {
                "header" => header = header_value(cx, value.bytes()?)?,
                "append" => append = Some(value.wrapped_bool()?),
                "append_action" => action = value.u64()?,
                _ => return unread(name),
            }
            Ok(())
        },
    )?;
    let key = header.0.to_ascii_lowercase();
    if (key.as_str(), header.1) == ("x-forwarded-host", "%REQ(:AUTHORITY)%") {
        cx.warn(Warning::Value(
            "x-forwarded-host: set by the proxy itself".into(),
        ));
        return Ok(());
    }
    let value = literal(header.1)?;
    if key.is_empty() || key.starts_with(':') {
        return Err(Bad::new(format!("{key:?} cannot be set")).within("header.key"));
    }
    let place = match (append, action) {
        (Some(false), _) | (None, 2) => &mut edits.set,
        (_, 0) => &mut edits.add,
        _ => return Err(Bad::unsupported().within("append_action")),
    };
    if place.insert(key.into(), value.into()).is_some() {
        return Err(Bad::new(format!("{} appears twice", header.0)));
    }
    Ok(())
}

fn header_value<'a>(cx: &mut Context, bytes: &'a [u8]) -> Result<(&'a str, &'a str), Bad> {
    let mut found = ("", "");
    cx.read(&schema::HEADER_VALUE, bytes, |_, name, value| {
        match name {
            "key" => found.0 = value.text()?,
            "value" | "raw_value" => found.1 = value.text()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(found)
}

/// A header's value in which `%%` is a percent sign; Envoy's `%COMMANDS%` are not known here.
fn literal(text: &str) -> Result<String, Bad> {
    let plain = text.replace("%%", "\0");
    if plain.contains('%') {
        let reason = format!("{text:?}: %COMMANDS% are not supported");
        return Err(Bad::new(reason).within("header.value"));
    }
    Ok(plain.replace('\0', "%"))
}

/// Adds the name of a header that is removed.
pub fn removed(value: Value<'_>, edits: &mut HeaderEdits) -> Result<(), Bad> {
    edits.remove.push(value.text()?.to_ascii_lowercase().into());
    Ok(())
}
