//! The string extensions, regular expressions and the key escape of JSON patches.
use std::sync::Arc;

use super::no_overload;
use crate::error::Fault;
use crate::regexes::{self, Pattern};
use crate::value::{Outcome, Value};

fn out_of_range(at: i64) -> Fault {
    Fault::new(format!("index out of range: {at}"))
}

/// The functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    match (name, args) {
        ("charAt", [Value::String(text), Value::Int(at)]) => char_at(text, *at),
        ("lowerAscii", [Value::String(text)]) => Ok(Value::from(text.to_ascii_lowercase())),
        ("upperAscii", [Value::String(text)]) => Ok(Value::from(text.to_ascii_uppercase())),
        ("trim", [Value::String(text)]) => Ok(Value::from(text.trim())),
        ("replace", [Value::String(text), Value::String(old), Value::String(new)]) => {
            Ok(Value::from(text.replace(&**old, new)))
        }
        (
            "replace",
            [
                Value::String(text),
                Value::String(old),
                Value::String(new),
                Value::Int(n),
            ],
        ) => Ok(match usize::try_from(*n) {
            Ok(count) => Value::from(text.replacen(&**old, new, count)),
            Err(_) => Value::from(text.replace(&**old, new)),
        }),
        ("split", [Value::String(text), Value::String(separator)]) => {
            Ok(split(text, separator, -1))
        }
        ("split", [Value::String(text), Value::String(separator), Value::Int(n)]) => {
            Ok(split(text, separator, *n))
        }
        ("substring", [Value::String(text), Value::Int(start)]) => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            if !(0..=length).contains(start) {
                return Err(out_of_range(*start));
            }
            Ok(Value::from(middle(text, *start, length)))
        }
        ("substring", [Value::String(text), Value::Int(start), Value::Int(end)]) => {
            substring(text, *start, *end)
        }
        ("join", [Value::List(_)]) => join(args, ""),
        ("join", [Value::List(_), Value::String(separator)]) => join(args, separator),
        ("strings.quote", [Value::String(text)]) => Ok(Value::from(quote(text))),
        ("find" | "findAll", [Value::String(text), pattern, rest @ ..]) => {
            let pattern = match pattern {
                Value::Pattern(pattern) => pattern.clone(),
                Value::String(source) => regexes::compile(source)
                    .map_err(|error| Fault::new(format!("Illegal regex: {error}")))?,
                _ => return Err(no_overload(name, args)),
            };
            find(name, text, &pattern, rest).ok_or_else(|| no_overload(name, args))
        }
        ("jsonpatch.escapeKey", [Value::String(text)]) => {
            Ok(Value::from(text.replace('~', "~0").replace('/', "~1")))
        }
        _ => Err(no_overload(name, args)),
    }
}

fn char_at(text: &str, at: i64) -> Outcome {
    let length = text.chars().count();
    match usize::try_from(at) {
        Ok(at) if at < length => Ok(Value::from(
            text.chars().nth(at).map(String::from).unwrap_or_default(),
        )),
        Ok(at) if at == length => Ok(Value::from("")),
        _ => Err(out_of_range(at)),
    }
}

fn middle(text: &str, start: i64, end: i64) -> String {
    let start = usize::try_from(start).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(0);
    text.chars()
        .skip(start)
        .take(end.saturating_sub(start))
        .collect()
}

fn substring(text: &str, start: i64, end: i64) -> Outcome {
    if start > end {
        let text = format!("invalid substring range. start: {start}, end: {end}");
        return Err(Fault::new(text));
    }
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    for at in [start, end] {
        if !(0..=length).contains(&at) {
            return Err(out_of_range(at));
        }
    }
    Ok(Value::from(middle(text, start, end)))
}

fn split(text: &str, separator: &str, limit: i64) -> Value {
    let parts: Vec<&str> = match (usize::try_from(limit), separator) {
        (Ok(0), _) => vec![],
        (Ok(count), "") => {
            let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).take(count).collect();
            pieces(text, &ends)
        }
        (Ok(count), separator) => text.splitn(count, separator).collect(),
        (Err(_), "") => pieces(
            text,
            &text.char_indices().map(|(at, _)| at).collect::<Vec<_>>(),
        ),
        (Err(_), separator) => text.split(separator).collect(),
    };
    Value::from(parts.into_iter().map(Value::from).collect::<Vec<_>>())
}

fn pieces<'a>(text: &'a str, starts: &[usize]) -> Vec<&'a str> {
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &text[*start..end])
        .collect()
}

fn join(args: &[Value], separator: &str) -> Outcome {
    let Some(Value::List(list)) = args.first() else {
        return Err(no_overload("join", args));
    };
    let mut out = String::new();
    for (number, one) in list.iter().enumerate() {
        if number > 0 {
            out.push_str(separator);
        }
        match one? {
            Value::String(text) => out.push_str(&text),
            other => {
                let text = format!("join: invalid input: {}", other.type_name());
                return Err(Fault::new(text));
            }
        }
    }
    Ok(Value::from(out))
}

/// A text in double quotes with CEL's escapes.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn find(name: &str, text: &str, pattern: &Arc<Pattern>, rest: &[Value]) -> Option<Value> {
    if name == "find" {
        let found = pattern.regex.find(text).map_or("", |one| one.as_str());
        return Some(Value::from(found));
    }
    let limit = match rest {
        [] => usize::MAX,
        [Value::Int(n)] => usize::try_from(*n).unwrap_or(usize::MAX),
        _ => return None,
    };
    let found = pattern
        .regex
        .find_iter(text)
        .take(limit)
        .map(|one| Value::from(one.as_str()));
    Some(Value::from(found.collect::<Vec<_>>()))
}
