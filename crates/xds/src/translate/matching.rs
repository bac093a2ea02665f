//! Which requests a route means.
use std::sync::Arc;

use cloudwright_config::matching::{Condition, Match, PathMatch, Pattern, ValueMatch};

use super::{
    common,
    context::{Bad, Context, shared, unread},
};
use crate::schema::route as schema;

/// `route.RouteMatch`.
pub fn route_match(cx: &mut Context, bytes: &[u8]) -> Result<Match, Bad> {
    let (mut out, mut path) = (Match::default(), None);
    cx.read(&schema::ROUTE_MATCH, bytes, |cx, name, value| {
        match name {
            "prefix" => path = Some(prefix(value.text()?)?),
            "path" => path = Some(PathMatch::Exact(absolute(value.text()?)?)),
            "path_separated_prefix" => path = Some(PathMatch::Prefix(absolute(value.text()?)?)),
            "safe_regex" => path = Some(PathMatch::Regex(common::regex(cx, value.bytes()?)?)),
            "case_sensitive" => out.ignore_case = !value.wrapped_bool()?,
            "headers" => header(cx, value.bytes()?, &mut out)?,
            "query_parameters" => out.query.push(query(cx, value.bytes()?)?),
            "grpc" => out.grpc = true,
            "runtime_fraction" => {
                out.percent = Some(common::runtime_fraction(cx, value.bytes()?)?);
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    out.path = path.ok_or_else(|| Bad::new("prefix, path or safe_regex is needed"))?;
    Ok(out)
}

fn prefix(text: &str) -> Result<PathMatch, Bad> {
    match text {
        "" | "/" => Ok(PathMatch::default()),
        other => absolute(other).map(PathMatch::StartsWith),
    }
}

fn absolute(text: &str) -> Result<Arc<str>, Bad> {
    if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err(Bad::new(format!("{text:?} must start with /")))
    }
}

fn header(cx: &mut Context, bytes: &[u8], out: &mut Match) -> Result<(), Bad> {
    let (mut called, mut wanted, mut invert) = ("", None, false);
    cx.read(&schema::HEADER_MATCHER, bytes, |cx, name, value| {
        match name {
            "name" => called = value.text()?,
            "invert_match" => invert = value.bool()?,
            "exact_match" => wanted = Some(ValueMatch::Exact(shared(value.text()?))),
            "prefix_match" => wanted = Some(ValueMatch::Prefix(shared(value.text()?))),
            "suffix_match" => wanted = Some(ValueMatch::Suffix(shared(value.text()?))),
            "contains_match" => wanted = Some(ValueMatch::Contains(shared(value.text()?))),
            "safe_regex_match" => {
                wanted = Some(ValueMatch::Regex(common::regex(cx, value.bytes()?)?))
            }
            "string_match" => wanted = Some(common::string_matcher(cx, value.bytes()?)?),
            "present_match" => wanted = Some(ValueMatch::Present(value.bool()?)),
            "range_match" => {
                let (from, to) = common::range(cx, value.bytes()?)?;
                wanted = Some(ValueMatch::Range(from, to));
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    if called.is_empty() {
        return Err(Bad::new("is needed").within("name"));
    }
    match (called, wanted.unwrap_or(ValueMatch::Present(true))) {
        (":method", ValueMatch::Exact(method)) if !invert && out.methods.is_empty() => {
            out.methods.push(method);
        }
        (":method", ValueMatch::Regex(pattern)) if !invert && out.methods.is_empty() => {
            out.methods = alternatives(&pattern)?;
        }
        (pseudo, _) if pseudo.starts_with(':') => {
            let reason = format!("{pseudo} can only be matched as :method, by names");
            return Err(Bad::new(reason).within("name"));
        }
        (_, ValueMatch::Present(present)) => {
            let value = ValueMatch::Present(present != invert);
            out.headers.push(condition(called, value, false));
        }
        (_, value) => {
            // Envoy's inverted matches still ask for the header to be there.
            if invert {
                out.headers
                    .push(condition(called, ValueMatch::Present(true), false));
            }
            out.headers.push(condition(called, value, invert));
        }
    }
    Ok(())
}

/// The methods of an expression such as `GET|HEAD`.
fn alternatives(pattern: &Pattern) -> Result<Vec<Arc<str>>, Bad> {
    let text = serde_json::to_value(pattern).map_err(|why| Bad::new(why.to_string()))?;
    let text = text.as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_uppercase() || c == '|';
    if text.is_empty() || !text.chars().all(plain) {
        return Err(Bad::new(format!(
            "{text:?}: only names joined by | are supported"
        )));
    }
    Ok(text.split('|').map(Into::into).collect())
}

fn condition(name: &str, value: ValueMatch, invert: bool) -> Condition {
    Condition {
        name: name.to_ascii_lowercase().into(),
        value,
        invert,
    }
}

fn query(cx: &mut Context, bytes: &[u8]) -> Result<Condition, Bad> {
    let (mut called, mut wanted) = ("", ValueMatch::Present(true));
    cx.read(&schema::QUERY_MATCHER, bytes, |cx, name, value| {
        match name {
            "name" => called = value.text()?,
            "string_match" => wanted = common::string_matcher(cx, value.bytes()?)?,
            "present_match" => wanted = ValueMatch::Present(value.bool()?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    if called.is_empty() {
        return Err(Bad::new("is needed").within("name"));
    }
    Ok(Condition {
        name: called.into(),
        value: wanted,
        invert: false,
    })
}
