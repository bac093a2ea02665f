//! Values from and to JSON, and from one type to another.
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Fault;
use crate::functions::no_overload;
use crate::json::Json;
use crate::schema::{Schema, Shape};
use crate::times;
use crate::value::{Entries, Items, Key, List, Map, Outcome, Value};

/// 2 to the power of 63: the first number beyond an int.
const INT_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// The value that a JSON value is by its schema.
#[allow(clippy::cast_precision_loss)]
pub fn from_json(json: &Json, schema: &Arc<Schema>) -> Outcome {
    let wrong = |what: &str| Err(Fault::new(format!("invalid data, expected {what}")));
    if matches!(json, Json::Null) && !matches!(schema.shape, Shape::Dyn) {
        return if schema.nullable {
            Ok(Value::Null)
        } else {
            Err(Fault::new(
                "invalid data, got null for schema with nullable=false",
            ))
        };
    }
    let value = match (&schema.shape, json) {
        (Shape::Dyn, json) => dynamic(json, schema),
        (Shape::IntOrString, Json::Int(value)) | (Shape::Int, Json::Int(value)) => {
            Value::Int(*value)
        }
        (Shape::IntOrString | Shape::String, Json::String(text)) => Value::String(text.clone()),
        (Shape::Bool, Json::Bool(value)) => Value::Bool(*value),
        (Shape::Int, Json::Double(_)) => match json.as_i64() {
            Some(value) => Value::Int(value),
            None => return wrong("int, got float64"),
        },
        (Shape::Double, Json::Int(_) | Json::Uint(_) | Json::Double(_)) => {
            Value::Double(json.as_f64().unwrap_or_default())
        }
        (Shape::Bytes | Shape::Duration | Shape::Date | Shape::Timestamp, Json::String(text)) => {
            return formatted(&schema.shape, text);
        }
        (Shape::List(..), Json::List(items)) => Value::List(List {
            items: Items::Json(items.clone()),
            schema: schema.clone(),
        }),
        (Shape::Map(_) | Shape::Object(_), Json::Object(fields)) => Value::Map(Map {
            entries: Entries::Json(fields.clone()),
            schema: schema.clone(),
        }),
        (Shape::IntOrString, _) => {
            return wrong("XIntOrString value to be either a string or integer");
        }
        (Shape::Bool, _) => return wrong(&format!("bool, got {}", go_type(json))),
        (Shape::Int, _) => return wrong(&format!("int, got {}", go_type(json))),
        (Shape::Double, _) => return wrong(&format!("float, got {}", go_type(json))),
        (Shape::List(..), _) => return wrong("an array for the provided schema with type=array"),
        (Shape::Map(_) | Shape::Object(_), _) => {
            return wrong("a map for the provided schema with type=object");
        }
        _ => return wrong(&format!("string, got {}", go_type(json))),
    };
    Ok(value)
}

/// What Go calls the type of a decoded value.
fn go_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Int(_) | Json::Uint(_) => "int64",
        Json::Double(_) => "float64",
        Json::String(_) => "string",
        Json::List(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

fn dynamic(json: &Json, schema: &Arc<Schema>) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Int(value) => Value::Int(*value),
        Json::Uint(value) => Value::Uint(*value),
        Json::Double(value) => Value::Double(*value),
        Json::String(text) => Value::String(text.clone()),
        Json::List(items) => Value::List(List {
            items: Items::Json(items.clone()),
            schema: schema.clone(),
        }),
        Json::Object(fields) => Value::Map(Map {
            entries: Entries::Json(fields.clone()),
            schema: schema.clone(),
        }),
    }
}

fn formatted(shape: &Shape, text: &str) -> Outcome {
    let (found, name) = match shape {
        Shape::Bytes => (
            STANDARD
                .decode(text)
                .ok()
                .map(|bytes| Value::Bytes(bytes.into())),
            "byte",
        ),
        Shape::Duration => (schema_duration(text).map(Value::Duration), "duration"),
        Shape::Date => (times::parse_date(text).map(Value::Timestamp), "date"),
        _ => (
            times::parse_timestamp(text).map(Value::Timestamp),
            "date-time",
        ),
    };
    found.ok_or_else(|| Fault::new(format!("Invalid {name} formatted string {text}")))
}

/// A duration as schemas' `format: duration` takes it: Go's, or words such as `3 days`.
#[must_use]
pub fn schema_duration(text: &str) -> Option<i64> {
    if let Some(found) = times::parse_duration(text) {
        return Some(found);
    }
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .filter(|at| *at > 0)?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let end = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let scale: i64 = match &rest[..end] {
            "ns" | "nano" | "nanos" => 1,
            "us" | "µs" | "micro" | "micros" => 1_000,
            "ms" | "milli" | "millis" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000_000,
            "d" | "day" | "days" => 86_400_000_000_000,
            "w" | "wk" | "week" | "weeks" => 604_800_000_000_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(scale)?)?;
        rest = rest[end..].trim_start();
    }
    Some(total)
}

/// The JSON that a value stands for; bytes become base64.
pub fn to_json(value: &Value) -> Result<Json, Fault> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Int(*value),
        Value::Uint(value) => i64::try_from(*value).map_or(Json::Uint(*value), Json::Int),
        Value::Double(value) => Json::Double(*value),
        Value::String(text) | Value::Type(text) => Json::String(text.clone()),
        Value::Pattern(pattern) => Json::String(pattern.text.clone()),
        Value::Bytes(bytes) => Json::from(STANDARD.encode(bytes).as_str()),
        Value::Timestamp(moment) => Json::from(times::timestamp_text(*moment).as_str()),
        Value::Duration(nanos) => Json::from(times::duration_text(*nanos).as_str()),
        Value::List(list) => match &list.items {
            Items::Json(items) => Json::List(items.clone()),
            Items::Made(items) => Json::List(Arc::new(
                items.iter().map(to_json).collect::<Result<_, _>>()?,
            )),
        },
        Value::Map(map) => match &map.entries {
            Entries::Json(fields) => Json::Object(fields.clone()),
            Entries::Made(entries) => {
                let members = entries.iter().map(|(key, value)| {
                    let name = match key {
                        Key::String(name) => name.clone(),
                        other => Arc::from(text(&other.value())?.as_str()),
                    };
                    Ok((name, to_json(value)?))
                });
                object(members.collect::<Result<Vec<_>, Fault>>()?)
            }
        },
        Value::Struct(one) => {
            let members = one
                .fields
                .iter()
                .map(|(name, one)| Ok((name.clone(), to_json(one)?)));
            object(members.collect::<Result<Vec<_>, Fault>>()?)
        }
        Value::Optional(Some(inner)) => to_json(inner)?,
        Value::Optional(None) => Json::Null,
        Value::Quantity(_) | Value::Ip(_) | Value::Cidr(..) | Value::Semver(_) | Value::Url(_) => {
            Json::from(text(value)?.as_str())
        }
        Value::Format(_) | Value::Authorization(_) => {
            let text = format!("a {} is no JSON value", value.type_name());
            return Err(Fault::new(text));
        }
    })
}

fn object(members: Vec<(Arc<str>, Json)>) -> Json {
    Json::Object(Arc::new(crate::json::Fields::new(members)))
}

/// A value as text (`string()`, `%s`).
pub fn text(value: &Value) -> Result<String, Fault> {
    Ok(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::String(text) | Value::Type(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| Fault::new("invalid UTF-8 in bytes, cannot convert to string"))?,
        Value::Timestamp(moment) => times::timestamp_text(*moment),
        Value::Duration(nanos) => times::duration_text(*nanos),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(address, bits) => format!("{address}/{bits}"),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Semver(version) => version.to_string(),
        Value::Url(url) => url.text.clone(),
        other => return Err(no_overload("string", std::slice::from_ref(other))),
    })
}

/// A number as Go's `%g` writes it with the shortest digits.
#[must_use]
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `int()`, `uint()`, `double()`, `bool()`, `bytes()`, `string()`, `duration()`, `timestamp()`.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub fn cast(name: &str, args: &[Value]) -> Outcome {
    let [value] = args else {
        return Err(no_overload(name, args));
    };
    let overflow = |what: &str| Err(Fault::new(what));
    let bad = |kind: &str, text: &str| {
        Err(Fault::new(format!(
            "type conversion error from 'string' to '{kind}': {text}"
        )))
    };
    match (name, value) {
        ("int", Value::Int(_))
        | ("uint", Value::Uint(_))
        | ("double", Value::Double(_))
        | ("bool", Value::Bool(_))
        | ("bytes", Value::Bytes(_))
        | ("duration", Value::Duration(_))
        | ("timestamp", Value::Timestamp(_)) => Ok(value.clone()),
        ("string", Value::Url(_) | Value::Quantity(_) | Value::Semver(_) | Value::Type(_)) => {
            Err(no_overload(name, args))
        }
        ("string", value) => text(value).map(Value::from),
        ("int", Value::Uint(one)) => i64::try_from(*one)
            .map(Value::Int)
            .or_else(|_| overflow("integer overflow")),
        ("int", Value::Double(one)) => {
            if one.is_nan() || *one <= -INT_LIMIT || *one >= INT_LIMIT {
                return overflow("integer overflow");
            }
            Ok(Value::Int(*one as i64))
        }
        ("int", Value::String(text)) => text.parse().map(Value::Int).or_else(|_| bad("int", text)),
        ("int", Value::Timestamp(moment)) => Ok(Value::Int(moment.timestamp())),
        ("int", Value::Duration(nanos)) => Ok(Value::Int(*nanos)),
        ("uint", Value::Int(one)) => u64::try_from(*one)
            .map(Value::Uint)
            .or_else(|_| overflow("unsigned integer overflow")),
        ("uint", Value::Double(one)) => {
            if one.is_nan() || *one < 0.0 || *one >= 2.0 * INT_LIMIT {
                return overflow("unsigned integer overflow");
            }
            Ok(Value::Uint(*one as u64))
        }
        ("uint", Value::String(text)) => {
            text.parse().map(Value::Uint).or_else(|_| bad("uint", text))
        }
        ("double", Value::Int(one)) => Ok(Value::Double(*one as f64)),
        ("double", Value::Uint(one)) => Ok(Value::Double(*one as f64)),
        ("double", Value::String(text)) => text
            .parse()
            .map(Value::Double)
            .or_else(|_| bad("double", text)),
        ("bool", Value::String(text)) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => bad("bool", text),
        },
        ("bytes", Value::String(text)) => Ok(Value::Bytes(Arc::from(text.as_bytes()))),
        ("duration", Value::Int(nanos)) => Ok(Value::Duration(*nanos)),
        ("duration", Value::String(text)) => times::parse_duration(text)
            .map(Value::Duration)
            .map_or_else(|| bad("google.protobuf.Duration", text), Ok),
        ("timestamp", Value::Int(seconds)) => times::from_seconds(*seconds),
        ("timestamp", Value::String(text)) => times::parse_timestamp(text)
            .map(Value::Timestamp)
            .map_or_else(|| bad("google.protobuf.Timestamp", text), Ok),
        _ => Err(no_overload(name, args)),
    }
}
