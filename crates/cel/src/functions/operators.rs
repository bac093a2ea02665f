//! Arithmetic, comparison, indexing and membership.
use std::cmp::Ordering;
use std::sync::Arc;

use super::no_overload;
use crate::equality::{contains, position};
use crate::error::Fault;
use crate::schema::ListKind;
use crate::times;
use crate::value::{Items, List, Outcome, Value};

/// The operators, by the names that the parser gives them.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    match (name, args) {
        ("_==_", [a, b]) => a.equals(b).map(Value::Bool),
        ("_!=_", [a, b]) => a.equals(b).map(|same| Value::Bool(!same)),
        ("_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => ordered(name, a, b, args),
        ("_+_", [a, b]) => add(a, b, args),
        ("_-_", [a, b]) => subtract(a, b, args),
        ("_*_" | "_/_" | "_%_", [a, b]) => multiply(name, a, b, args),
        ("_[_]", [target, key]) => index(target, key),
        ("_[?_]", [target, key]) => optional_index(target, key),
        ("@in" | "@in_constant", [wanted, Value::List(list)]) => is_in(wanted, list),
        ("@in", [wanted, Value::Map(map)]) => Ok(Value::Bool(map.find(wanted).is_some())),
        ("!_", [Value::Bool(value)]) => Ok(Value::Bool(!value)),
        ("-_", [Value::Int(value)]) => whole(value.checked_neg()),
        ("-_", [Value::Double(value)]) => Ok(Value::Double(-value)),
        _ => Err(no_overload(name, args)),
    }
}

fn whole(found: Option<i64>) -> Outcome {
    found
        .map(Value::Int)
        .ok_or_else(|| Fault::new("integer overflow"))
}

fn unsigned(found: Option<u64>) -> Outcome {
    found
        .map(Value::Uint)
        .ok_or_else(|| Fault::new("unsigned integer overflow"))
}

fn ordered(name: &str, a: &Value, b: &Value, args: &[Value]) -> Outcome {
    let nan = |value: &Value| matches!(value, Value::Double(one) if one.is_nan());
    let Some(order) = a.compare(b) else {
        let numbers = nan(a) || nan(b);
        return Err(if numbers {
            Fault::new("NaN values cannot be ordered")
        } else {
            no_overload(name, args)
        });
    };
    Ok(Value::Bool(match name {
        "_<_" => order == Ordering::Less,
        "_<=_" => order != Ordering::Greater,
        "_>_" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

fn add(a: &Value, b: &Value, args: &[Value]) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => whole(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::from([&**a, &**b].concat())),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&**a, &**b].concat().into())),
        (Value::List(a), Value::List(b)) => join(a, b),
        (Value::Duration(a), Value::Duration(b)) => a
            .checked_add(*b)
            .map(Value::Duration)
            .ok_or_else(|| Fault::new("duration overflow")),
        (Value::Timestamp(moment), Value::Duration(nanos))
        | (Value::Duration(nanos), Value::Timestamp(moment)) => times::add(*moment, *nanos),
        _ => Err(no_overload("_+_", args)),
    }
}

/// Two lists as one; a set takes only what is new, a keyed list replaces items of the same keys.
fn join(a: &List, b: &List) -> Outcome {
    let mut items = a.values()?;
    match a.schema.list_kind() {
        ListKind::Atomic => {
            for other in b.iter() {
                items.push(other?);
            }
        }
        ListKind::Set => {
            for other in b.iter() {
                let other = other?;
                if !contains(&items, &other)? {
                    items.push(other);
                }
            }
        }
        ListKind::Map(keys) => {
            for other in b.iter() {
                let other = other?;
                match position(&items, &other, keys)? {
                    Some(at) => items[at] = other,
                    None => items.push(other),
                }
            }
        }
    }
    Ok(Value::List(List {
        items: Items::Made(Arc::new(items)),
        schema: a.schema.clone(),
    }))
}

fn subtract(a: &Value, b: &Value, args: &[Value]) -> Outcome {
    let late = || Fault::new("duration overflow");
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => whole(a.checked_sub(*b)),
        (Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or_else(late)
        }
        (Value::Timestamp(moment), Value::Duration(nanos)) => {
            times::add(*moment, nanos.checked_neg().ok_or_else(late)?)
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => times::difference(*a, *b),
        _ => Err(no_overload("_-_", args)),
    }
}

fn multiply(name: &str, a: &Value, b: &Value, args: &[Value]) -> Outcome {
    let zero = || {
        Fault::new(if name == "_/_" {
            "division by zero"
        } else {
            "modulus by zero"
        })
    };
    match (name, a, b) {
        ("_*_", Value::Int(a), Value::Int(b)) => whole(a.checked_mul(*b)),
        ("_*_", Value::Uint(a), Value::Uint(b)) => unsigned(a.checked_mul(*b)),
        ("_*_", Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        ("_/_", Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        ("_/_" | "_%_", Value::Int(_), Value::Int(0)) => Err(zero()),
        ("_/_" | "_%_", Value::Uint(_), Value::Uint(0)) => Err(zero()),
        ("_/_", Value::Int(a), Value::Int(b)) => whole(a.checked_div(*b)),
        ("_/_", Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(a / b)),
        ("_%_", Value::Int(a), Value::Int(b)) => whole(a.checked_rem(*b)),
        ("_%_", Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(a % b)),
        _ => Err(no_overload(name, args)),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn list_index(key: &Value) -> Result<i64, Fault> {
    match key {
        Value::Int(at) => Ok(*at),
        Value::Uint(at) => Ok(i64::try_from(*at).unwrap_or(i64::MAX)),
        Value::Double(at) if at.fract() == 0.0 => Ok(*at as i64),
        other => Err(Fault::new(format!(
            "unsupported index type '{}' in list",
            other.type_name()
        ))),
    }
}

/// `target[key]`.
pub fn index(target: &Value, key: &Value) -> Outcome {
    match target {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(_)) => optional_index(target, key),
        Value::List(list) => {
            let at = list_index(key)?;
            usize::try_from(at)
                .ok()
                .and_then(|at| list.get(at))
                .unwrap_or_else(|| Err(Fault::new(format!("index out of bounds: {at}"))))
        }
        Value::Map(map) => map.find(key).unwrap_or_else(|| Err(no_key(key))),
        _ => Err(Fault::new("no such overload")),
    }
}

/// The error of a key that is not there.
#[must_use]
pub fn no_key(key: &Value) -> Fault {
    let shown = crate::convert::text(key).unwrap_or_else(|_| key.type_name().to_owned());
    Fault::new(format!("no such key: {shown}"))
}

/// `target[?key]`.
pub fn optional_index(target: &Value, key: &Value) -> Outcome {
    let found = match target {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => return optional_index(inner, key),
        Value::List(list) => usize::try_from(list_index(key)?)
            .ok()
            .and_then(|at| list.get(at)),
        Value::Map(map) => map.find(key),
        _ => return Err(Fault::new("no such overload")),
    };
    Ok(Value::Optional(found.transpose()?.map(Arc::new)))
}

fn is_in(wanted: &Value, list: &List) -> Outcome {
    for one in list.iter() {
        if one?.equals(wanted)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
