//! When lists and maps are equal.
use std::sync::Arc;

use crate::error::Fault;
use crate::schema::ListKind;
use crate::value::{Entries, List, Map, Value};

/// Whether two lists are equal; of sets and keyed lists the order does not count.
pub fn lists_equal(a: &List, b: &List) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.schema.list_kind() {
        ListKind::Atomic => {
            for (one, other) in a.iter().zip(b.iter()) {
                if !one?.equals(&other?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Set => {
            let known = a.values()?;
            for other in b.iter() {
                if !contains(&known, &other?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Map(keys) => {
            let known = a.values()?;
            for other in b.iter() {
                let other = other?;
                let Some(at) = position(&known, &other, keys)? else {
                    return Ok(false);
                };
                if !known[at].equals(&other)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether one of the values equals another.
pub fn contains(values: &[Value], wanted: &Value) -> Result<bool, Fault> {
    for one in values {
        if one.equals(wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where in a list the item with the same keys stands.
pub fn position(
    values: &[Value],
    wanted: &Value,
    keys: &[Arc<str>],
) -> Result<Option<usize>, Fault> {
    let key = |value: &Value, name: &Arc<str>| match value {
        Value::Map(map) => {
            let escaped = crate::escape::escape(name).unwrap_or_else(|| name.to_string());
            map.field(&escaped).transpose()
        }
        _ => Ok(None),
    };
    'next: for (at, one) in values.iter().enumerate() {
        for name in keys {
            let same = match (key(one, name)?, key(wanted, name)?) {
                (Some(a), Some(b)) => a.equals(&b)?,
                (a, b) => a.is_none() && b.is_none(),
            };
            if !same {
                continue 'next;
            }
        }
        return Ok(Some(at));
    }
    Ok(None)
}

/// Whether two maps are equal.
pub fn maps_equal(a: &Map, b: &Map) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    if let (Entries::Json(x), Entries::Json(y)) = (&a.entries, &b.entries)
        && (Arc::ptr_eq(x, y) || x == y)
    {
        return Ok(true);
    }
    let keys = a.keys();
    if keys.len() != b.keys().len() {
        return Ok(false);
    }
    for key in keys {
        match (a.find(&key), b.find(&key)) {
            (Some(one), Some(other)) if one.clone()?.equals(&other.clone()?)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}
