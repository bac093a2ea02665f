//! JSON → protobuf, byte for byte as Go's own encoder writes it: fields by number, maps sorted,
//! values (but not pointers) also when they are zero.

use crate::errors::WireError;
use crate::time;
use crate::types::{Field, Kind, Struct, Types, type_name};
use crate::varint::{put_bytes, put_nested, put_number, put_varint};
use crate::{DEPTH_MAX, MAGIC};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::HashMap;

type Object = Map<String, Value>;
type Done = Result<(), WireError>;

/// From here on (bytes of JSON) a list is read item by item: as a tree it takes ten times its size.
const LARGE: usize = 64 * 1024;

/// An object (or a list of objects) in JSON as a whole protobuf body.
///
/// # Errors
///
/// It is not JSON, of a kind that has no protobuf, or a value has a wrong type.
pub fn encode(types: &Types, json: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(json.len());
    if json.len() >= LARGE && large_list(types, json, &mut out)? {
        return Ok(out);
    }
    let value: Value = parse(json)?;
    body(types, &value, &mut out)?;
    Ok(out)
}

fn parse<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> Result<T, WireError> {
    serde_json::from_slice(json).map_err(|error| WireError::Json(error.to_string()))
}

/// Writes a list of objects; false, and nothing written, when it is something else.
fn large_list(types: &Types, json: &[u8], out: &mut Vec<u8>) -> Result<bool, WireError> {
    let mut parts: HashMap<String, &RawValue> = parse(json)?;
    let Some(items) = parts.remove("items") else {
        return Ok(false);
    };
    let mut rest = Object::new();
    for (name, raw) in parts {
        rest.insert(name, parse(raw.get().as_bytes())?);
    }
    let items: Option<Vec<&RawValue>> = parse(items.get().as_bytes())?;
    enveloped(types, &rest, out, |of, out| {
        message(types, of, &rest, 0, out)?;
        let found = of.fields.iter().find(|field| &*field.name == "items");
        let Some(field) = found.filter(|field| field.list) else {
            return Err(WireError::Type("only lists have items".to_owned()));
        };
        for raw in items.unwrap_or_default() {
            let item: Value = parse(raw.get().as_bytes())?;
            single(types, field, &field.kind, field.number, &item, 0, out)?;
        }
        Ok(())
    })?;
    Ok(true)
}

/// A watch event in JSON (`{"type", "object"}`) as one frame of a protobuf stream: four bytes of
/// length (big-endian) and a `WatchEvent`.
///
/// # Errors
///
/// As `encode`.
pub fn encode_event(types: &Types, json: &[u8]) -> Result<Vec<u8>, WireError> {
    let value: Value = parse(json)?;
    let kind = value.get("type").and_then(Value::as_str).unwrap_or("");
    let mut out = vec![0; 4];
    put_bytes(&mut out, 1, kind.as_bytes());
    put_nested(&mut out, 2, |out| {
        put_nested(out, 1, |out| body(types, &value["object"], out))
    })?;
    let length = u32::try_from(out.len() - 4)
        .map_err(|_| WireError::Malformed("the event is too large for a frame"))?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

fn body(types: &Types, value: &Value, out: &mut Vec<u8>) -> Done {
    let empty = Object::new();
    let object = value.as_object().unwrap_or(&empty);
    enveloped(types, object, out, |of, out| {
        message(types, of, object, 0, out)
    })
}

/// `k8s\0` and `runtime.Unknown` around what `inside` writes; `object` says of which kind it is.
fn enveloped(
    types: &Types,
    object: &Object,
    out: &mut Vec<u8>,
    inside: impl FnOnce(&Struct, &mut Vec<u8>) -> Done,
) -> Done {
    let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    let of = types
        .get(&type_name(api_version, kind))
        .map_err(|_| WireError::Unknown(format!("{api_version} {kind}")))?;
    out.extend_from_slice(MAGIC);
    let mut names = Vec::with_capacity(64);
    put_bytes(&mut names, 1, api_version.as_bytes());
    put_bytes(&mut names, 2, kind.as_bytes());
    put_bytes(out, 1, &names);
    put_nested(out, 2, |out| inside(&of, out))?;
    put_bytes(out, 3, b"");
    put_bytes(out, 4, b"");
    Ok(())
}

fn message(types: &Types, of: &Struct, from: &Object, depth: usize, out: &mut Vec<u8>) -> Done {
    if depth > DEPTH_MAX {
        return Err(WireError::TooDeep);
    }
    for at in &of.by_number {
        let field = &of.fields[*at];
        if field.inlined
            && let Kind::Struct(link) = &field.kind
        {
            let inner = types.follow(link)?;
            if field.pointer && !mentions(types, inner, from)? {
                continue;
            }
            put_nested(out, field.number, |out| {
                message(types, inner, from, depth + 1, out)
            })?;
            continue;
        }
        match from.get(&*field.name) {
            None | Some(Value::Null) => absent(types, field, depth, out)?,
            Some(value) => present(types, field, value, depth, out)?,
        }
    }
    Ok(())
}

fn mentions(types: &Types, of: &Struct, from: &Object) -> Result<bool, WireError> {
    for field in &of.fields {
        if field.inlined
            && let Kind::Struct(link) = &field.kind
        {
            if mentions(types, types.follow(link)?, from)? {
                return Ok(true);
            }
        } else if from.contains_key(&*field.name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What Go writes for a value that was never set.
fn absent(types: &Types, field: &Field, depth: usize, out: &mut Vec<u8>) -> Done {
    if field.pointer || field.list || matches!(field.kind, Kind::Map(_) | Kind::Bytes) {
        return Ok(());
    }
    let number = field.number;
    match &field.kind {
        Kind::Str => put_bytes(out, number, b""),
        Kind::Bool | Kind::Int => put_number(out, number, 0),
        Kind::Double => double(out, number, 0.0),
        Kind::Quantity => put_bytes(out, number, b"\x0a\x010"),
        Kind::IntStr => put_bytes(out, number, b"\x08\0\x10\0\x1a\0"),
        Kind::Struct(link) => {
            let inner = types.follow(link)?;
            put_nested(out, number, |out| {
                message(types, inner, &Object::new(), depth + 1, out)
            })?;
        }
        Kind::OrBool(_) => put_bytes(out, number, b"\x08\0"),
        _ => put_bytes(out, number, b""),
    }
    Ok(())
}

fn present(types: &Types, field: &Field, value: &Value, depth: usize, out: &mut Vec<u8>) -> Done {
    let number = field.number;
    if let Kind::Map(inner) = &field.kind {
        let entries = value.as_object().ok_or_else(|| wrong(field))?;
        let mut keys: Vec<&String> = entries.keys().collect();
        keys.sort_unstable();
        for key in keys {
            put_nested(out, number, |out| {
                put_bytes(out, 1, key.as_bytes());
                single(types, field, inner, 2, &entries[key], depth, out)
            })?;
        }
        return Ok(());
    }
    if field.list {
        for item in value.as_array().ok_or_else(|| wrong(field))? {
            single(types, field, &field.kind, number, item, depth, out)?;
        }
        return Ok(());
    }
    single(types, field, &field.kind, number, value, depth, out)
}

fn wrong(field: &Field) -> WireError {
    WireError::Type(format!(
        "the field {} is not of type {}",
        field.name, field.go
    ))
}

fn single(
    types: &Types,
    field: &Field,
    kind: &Kind,
    number: u32,
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
) -> Done {
    let bad = || wrong(field);
    let text = || value.as_str().ok_or_else(bad);
    match kind {
        Kind::Str => put_bytes(out, number, text()?.as_bytes()),
        Kind::Bool => put_number(out, number, value.as_bool().ok_or_else(bad)?.into()),
        Kind::Int => {
            let whole = value.as_i64().or_else(|| value.as_f64().map(|f| f as i64));
            put_number(out, number, whole.ok_or_else(bad)? as u64);
        }
        Kind::Double => double(out, number, value.as_f64().ok_or_else(bad)?),
        Kind::Bytes => {
            let data = STANDARD.decode(text()?).map_err(|_| bad())?;
            put_bytes(out, number, &data);
        }
        Kind::Time | Kind::MicroTime => {
            let mut inner = Vec::with_capacity(16);
            if !value.is_null() && !text()?.is_empty() {
                let moment = time::parse(text()?).ok_or_else(bad)?;
                if !moment.is_zero() {
                    let micro = matches!(kind, Kind::MicroTime);
                    let nanos = if micro { moment.nanos / 1000 * 1000 } else { 0 };
                    put_number(&mut inner, 1, moment.seconds as u64);
                    put_number(&mut inner, 2, nanos.into());
                }
            }
            put_bytes(out, number, &inner);
        }
        Kind::Quantity => put_nested(out, number, |out| {
            match value {
                Value::String(text) => put_bytes(out, 1, text.as_bytes()),
                Value::Number(amount) => put_bytes(out, 1, amount.to_string().as_bytes()),
                _ => return Err(bad()),
            }
            Ok(())
        })?,
        Kind::IntStr => put_nested(out, number, |out| {
            let (is_text, whole, words) = match value {
                Value::String(words) => (1, 0, words.as_str()),
                _ => (0, value.as_i64().ok_or_else(bad)?, ""),
            };
            put_number(out, 1, is_text);
            put_number(out, 2, whole as u64);
            put_bytes(out, 3, words.as_bytes());
            Ok(())
        })?,
        Kind::Raw | Kind::Fields | Kind::Json => put_nested(out, number, |out| {
            let text = serde_json::to_vec(value);
            put_bytes(
                out,
                1,
                &text.map_err(|error| WireError::Json(error.to_string()))?,
            );
            Ok::<(), WireError>(())
        })?,
        Kind::OrBool(_) | Kind::OrArray(_) | Kind::OrStrings(_) => {
            put_nested(out, number, |out| {
                either(types, field, kind, value, depth, out)
            })?;
        }
        Kind::Struct(link) => {
            let of = types.follow(link)?;
            let empty = Object::new();
            let object = match value {
                Value::Null => &empty,
                _ => value.as_object().ok_or_else(bad)?,
            };
            put_nested(out, number, |out| {
                message(types, of, object, depth + 1, out)
            })?;
        }
        Kind::Items(inner) => put_nested(out, number, |out| {
            for item in value.as_array().ok_or_else(bad)? {
                single(types, field, inner, 1, item, depth, out)?;
            }
            Ok(())
        })?,
        Kind::Map(_) => return Err(bad()),
    }
    Ok(())
}

fn either(
    types: &Types,
    field: &Field,
    kind: &Kind,
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
) -> Done {
    let (Kind::OrBool(link) | Kind::OrArray(link) | Kind::OrStrings(link)) = kind else {
        return Err(wrong(field));
    };
    let props = |out: &mut Vec<u8>, number: u32, value: &Value| {
        let of = types.follow(link)?;
        let object = value.as_object().ok_or_else(|| wrong(field))?;
        put_nested(out, number, |out| {
            message(types, of, object, depth + 1, out)
        })
    };
    match (kind, value) {
        (Kind::OrBool(_), Value::Bool(allows)) => put_number(out, 1, (*allows).into()),
        (Kind::OrBool(_), _) => {
            put_number(out, 1, 1);
            props(out, 2, value)?;
        }
        (Kind::OrArray(_), Value::Array(list)) => {
            for item in list {
                props(out, 2, item)?;
            }
        }
        (Kind::OrStrings(_), Value::Array(list)) => {
            for item in list {
                let text = item.as_str().ok_or_else(|| wrong(field))?;
                put_bytes(out, 2, text.as_bytes());
            }
        }
        _ => props(out, 1, value)?,
    }
    Ok(())
}

fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}
