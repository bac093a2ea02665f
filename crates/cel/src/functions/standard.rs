//! Functions of the standard library that are not operators, and optional values.
use std::sync::Arc;

use super::no_overload;
use crate::error::Fault;
use crate::regexes;
use crate::times;
use crate::value::{Entries, Map, Outcome, Value, key_of};

fn count(length: usize) -> Outcome {
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// The functions, by name.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    match (name, args) {
        ("size", [Value::String(text)]) => count(text.chars().count()),
        ("size", [Value::Bytes(bytes)]) => count(bytes.len()),
        ("size", [Value::List(list)]) => count(list.len()),
        ("size", [Value::Map(map)]) => count(map.len()),
        ("type", [value]) => Ok(Value::Type(Arc::from(value.type_name()))),
        ("dyn", [value]) => Ok(value.clone()),
        ("matches", [Value::String(text), Value::Pattern(pattern)]) => {
            Ok(Value::Bool(pattern.regex.is_match(text)))
        }
        ("matches", [Value::String(text), Value::String(pattern)]) => {
            let pattern = regexes::compile(pattern).map_err(Fault::new)?;
            Ok(Value::Bool(pattern.regex.is_match(text)))
        }
        ("contains", [Value::String(text), Value::String(part)]) => {
            Ok(Value::Bool(text.contains(&**part)))
        }
        ("startsWith", [Value::String(text), Value::String(part)]) => {
            Ok(Value::Bool(text.starts_with(&**part)))
        }
        ("endsWith", [Value::String(text), Value::String(part)]) => {
            Ok(Value::Bool(text.ends_with(&**part)))
        }
        ("cel.@mapInsert", [Value::Map(map), rest @ ..]) => insert(map, rest),
        (_, [Value::Timestamp(moment)]) if name.starts_with("get") => {
            times::part(name, *moment, "")
        }
        (_, [Value::Timestamp(moment), Value::String(zone)]) if name.starts_with("get") => {
            times::part(name, *moment, zone)
        }
        ("getHours", [Value::Duration(nanos)]) => Ok(Value::Int(nanos / 3_600_000_000_000)),
        ("getMinutes", [Value::Duration(nanos)]) => Ok(Value::Int(nanos / 60_000_000_000)),
        ("getSeconds", [Value::Duration(nanos)]) => Ok(Value::Int(nanos / 1_000_000_000)),
        ("getMilliseconds", [Value::Duration(nanos)]) => Ok(Value::Int(nanos / 1_000_000)),
        _ => optional(name, args),
    }
}

fn optional(name: &str, args: &[Value]) -> Outcome {
    match (name, args) {
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.of", [value]) => Ok(Value::Optional(Some(Arc::new(value.clone())))),
        ("optional.ofNonZeroValue", [value]) => Ok(Value::Optional(
            (!value.is_zero()).then(|| Arc::new(value.clone())),
        )),
        ("value", [Value::Optional(inner)]) => match inner {
            Some(value) => Ok(value.as_ref().clone()),
            None => Err(Fault::new("optional.none() dereference")),
        },
        ("hasValue", [Value::Optional(inner)]) => Ok(Value::Bool(inner.is_some())),
        ("optional.unwrap" | "unwrapOpt", [Value::List(list)]) => {
            let mut found = Vec::new();
            for one in list.iter() {
                match one? {
                    Value::Optional(Some(inner)) => found.push(inner.as_ref().clone()),
                    Value::Optional(None) => {}
                    _ => return Err(no_overload(name, args)),
                }
            }
            Ok(Value::from(found))
        }
        _ => Err(no_overload(name, args)),
    }
}

/// A map with one more entry, or with those of another map; a key may not stand there twice.
fn insert(map: &Map, rest: &[Value]) -> Outcome {
    let mut entries = match &map.entries {
        Entries::Made(entries) => entries.as_ref().clone(),
        Entries::Json(_) => return Err(Fault::new("no such overload")),
    };
    let new = match rest {
        [key, value] => vec![(key.clone(), value.clone())],
        [Value::Map(other)] => {
            let mut found = Vec::new();
            for key in other.keys() {
                let value = other.find(&key).unwrap_or(Ok(Value::Null))?;
                found.push((key, value));
            }
            found
        }
        _ => return Err(Fault::new("no such overload")),
    };
    for (key, value) in new {
        if entries.insert(key_of(&key)?, value).is_some() {
            let shown = crate::convert::text(&key)?;
            return Err(Fault::new(format!(
                "insert failed: key {shown} already exists"
            )));
        }
    }
    let entries = Entries::Made(Arc::new(entries));
    Ok(Value::Map(Map {
        entries,
        schema: map.schema.clone(),
    }))
}
