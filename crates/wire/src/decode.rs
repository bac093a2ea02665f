//! Protobuf → JSON.

use crate::errors::WireError;
use crate::time::Moment;
use crate::types::{Field, Kind, Link, Struct, Types, type_name};
use crate::varint::{Reader, Value as Raw};
use crate::{DEPTH_MAX, MAGIC};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// The object in a body, as JSON. Fields that the table does not know are left out.
///
/// # Errors
///
/// The bytes are damaged, nested too deeply, or of a kind that is not known.
pub fn decode(types: &Types, body: &[u8]) -> Result<Vec<u8>, WireError> {
    let rest = body.strip_prefix(MAGIC).ok_or(WireError::Malformed(
        "the body does not start as Kubernetes' protobuf does",
    ))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader::new(rest);
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => {
                let mut names = Reader::new(value.bytes()?);
                while let Some((number, value)) = names.next()? {
                    match number {
                        1 => api_version = text(value)?,
                        2 => kind = text(value)?,
                        _ => {}
                    }
                }
            }
            2 => raw = value.bytes()?,
            _ => {}
        }
    }
    let name = type_name(&api_version, &kind);
    let found = types
        .get(&name)
        .map_err(|_| WireError::Unknown(format!("{api_version} {kind}")))?;
    let mut object = Object::new();
    message(types, &found, raw, 0, &mut object)?;
    object.insert("apiVersion".to_owned(), Value::String(api_version));
    object.insert("kind".to_owned(), Value::String(kind));
    serde_json::to_vec(&object).map_err(|error| WireError::Json(error.to_string()))
}

fn message(
    types: &Types,
    of: &Struct,
    data: &[u8],
    depth: usize,
    out: &mut Object,
) -> Result<(), WireError> {
    if depth > DEPTH_MAX {
        return Err(WireError::TooDeep);
    }
    let mut reader = Reader::new(data);
    while let Some((number, value)) = reader.next()? {
        let place = of
            .by_number
            .binary_search_by_key(&number, |at| of.fields[*at].number);
        let Ok(place) = place else { continue };
        put(types, &of.fields[of.by_number[place]], value, depth, out)?;
    }
    Ok(())
}

fn put(
    types: &Types,
    field: &Field,
    value: Raw<'_>,
    depth: usize,
    out: &mut Object,
) -> Result<(), WireError> {
    if field.inlined
        && let Kind::Struct(link) = &field.kind
    {
        return message(types, types.follow(link)?, value.bytes()?, depth + 1, out);
    }
    let name = &*field.name;
    if let Kind::Map(inner) = &field.kind {
        let (key, value) = entry(types, inner, value.bytes()?, depth)?;
        if let Value::Object(map) = slot(out, name, || Value::Object(Object::new())) {
            map.insert(key, value);
        }
        return Ok(());
    }
    if field.list {
        let items = items(types, &field.kind, value, depth)?;
        if let Value::Array(list) = slot(out, name, || Value::Array(Vec::new())) {
            list.extend(items);
        }
        return Ok(());
    }
    let Some(found) = single(types, &field.kind, value, depth)? else {
        return Ok(());
    };
    if field.pointer || !field.omit_empty || !empty(&found) {
        out.insert(name.to_owned(), found);
    }
    Ok(())
}

fn slot<'a>(out: &'a mut Object, name: &str, new: impl FnOnce() -> Value) -> &'a mut Value {
    out.entry(name).or_insert_with(new)
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

fn entry(
    types: &Types,
    inner: &Kind,
    data: &[u8],
    depth: usize,
) -> Result<(String, Value), WireError> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(data);
    while let Some((number, found)) = reader.next()? {
        match number {
            1 => key = text(found)?,
            2 => value = single(types, inner, found, depth)?,
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => {
            let zero = match inner {
                Kind::Int | Kind::Bool => Raw::Number(0),
                _ => Raw::Bytes(&[]),
            };
            single(types, inner, zero, depth)?.unwrap_or(Value::Null)
        }
    };
    Ok((key, value))
}

fn items(
    types: &Types,
    kind: &Kind,
    value: Raw<'_>,
    depth: usize,
) -> Result<Vec<Value>, WireError> {
    let mut found = Vec::new();
    match (kind, value) {
        (Kind::Int | Kind::Bool, Raw::Bytes(packed)) => {
            let mut reader = Reader::new(packed);
            while !reader.done() {
                let number = Raw::Number(reader.varint()?);
                found.extend(single(types, kind, number, depth)?);
            }
        }
        _ => found.push(single(types, kind, value, depth)?.unwrap_or(Value::Null)),
    }
    Ok(found)
}

/// A value of a field; nothing for Go's zero time and for embedded values that are not there.
fn single(
    types: &Types,
    kind: &Kind,
    value: Raw<'_>,
    depth: usize,
) -> Result<Option<Value>, WireError> {
    Ok(Some(match kind {
        Kind::Str => Value::String(text(value)?),
        Kind::Bool => Value::Bool(value.number()? != 0),
        Kind::Int => Value::from(value.number()? as i64),
        Kind::Double => {
            let bytes: [u8; 8] = value
                .bytes()?
                .try_into()
                .map_err(|_| WireError::Malformed("a number is not encoded as one"))?;
            Value::from(f64::from_le_bytes(bytes))
        }
        Kind::Bytes => Value::String(STANDARD.encode(value.bytes()?)),
        Kind::Time => return moment(value.bytes()?, false),
        Kind::MicroTime => return moment(value.bytes()?, true),
        Kind::Quantity => {
            let found = first(value.bytes()?)?;
            Value::String(if found.is_empty() {
                "0".to_owned()
            } else {
                utf8(found)?
            })
        }
        Kind::IntStr => int_or_string(value.bytes()?)?,
        Kind::Raw | Kind::Fields | Kind::Json => {
            let embedded = first(value.bytes()?)?;
            if embedded.is_empty() {
                return Ok(None);
            }
            let found = serde_json::from_slice(embedded);
            found.map_err(|_| WireError::Malformed("an embedded value is not JSON"))?
        }
        Kind::OrBool(link) | Kind::OrArray(link) | Kind::OrStrings(link) => {
            return either(types, kind, link, value.bytes()?, depth).map(Some);
        }
        Kind::Struct(link) => {
            let mut object = Object::new();
            let of = types.follow(link)?;
            message(types, of, value.bytes()?, depth + 1, &mut object)?;
            Value::Object(object)
        }
        Kind::Items(inner) => {
            let mut list = Vec::new();
            let mut reader = Reader::new(value.bytes()?);
            while let Some((number, value)) = reader.next()? {
                if number == 1 {
                    list.extend(items(types, inner, value, depth)?);
                }
            }
            Value::Array(list)
        }
        Kind::Map(_) => return Err(WireError::Malformed("a map stands where none can be")),
    }))
}

/// `JSONSchemaPropsOrBool{allows, schema}`, `…OrArray{schema, schemas}`, `…OrStringArray{schema, texts}`.
fn either(
    types: &Types,
    kind: &Kind,
    link: &Link,
    data: &[u8],
    depth: usize,
) -> Result<Value, WireError> {
    let (mut allows, mut schema, mut list) = (false, None, Vec::new());
    let props = |value: Raw<'_>| -> Result<Value, WireError> {
        let mut object = Object::new();
        message(
            types,
            types.follow(link)?,
            value.bytes()?,
            depth + 1,
            &mut object,
        )?;
        Ok(Value::Object(object))
    };
    let mut reader = Reader::new(data);
    while let Some((number, value)) = reader.next()? {
        match (kind, number) {
            (Kind::OrBool(_), 1) => allows = value.number()? != 0,
            (Kind::OrBool(_), 2) | (Kind::OrArray(_) | Kind::OrStrings(_), 1) => {
                schema = Some(props(value)?);
            }
            (Kind::OrArray(_), 2) => list.push(props(value)?),
            (Kind::OrStrings(_), 2) => list.push(Value::String(text(value)?)),
            _ => {}
        }
    }
    Ok(schema.unwrap_or(match kind {
        Kind::OrBool(_) => Value::Bool(allows),
        _ => Value::Array(list),
    }))
}

fn moment(data: &[u8], micro: bool) -> Result<Option<Value>, WireError> {
    let mut moment = Moment {
        seconds: 0,
        nanos: 0,
    };
    let mut reader = Reader::new(data);
    if reader.done() {
        return Ok(None);
    }
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => moment.seconds = value.number()? as i64,
            2 => moment.nanos = (value.number()? as i64).clamp(0, 999_999_999) as u32,
            _ => {}
        }
    }
    if moment.is_zero() {
        return Ok(None);
    }
    let text = moment
        .text(micro)
        .ok_or(WireError::Malformed("a time is out of range"))?;
    Ok(Some(Value::String(text)))
}

fn int_or_string(data: &[u8]) -> Result<Value, WireError> {
    let (mut is_text, mut number, mut words) = (false, 0, String::new());
    let mut reader = Reader::new(data);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => is_text = value.number()? == 1,
            2 => number = value.number()? as i64,
            3 => words = text(value)?,
            _ => {}
        }
    }
    Ok(if is_text {
        Value::String(words)
    } else {
        Value::from(number)
    })
}

/// The bytes of field 1.
fn first(data: &[u8]) -> Result<&[u8], WireError> {
    let mut found = &[][..];
    let mut reader = Reader::new(data);
    while let Some((number, value)) = reader.next()? {
        if number == 1 {
            found = value.bytes()?;
        }
    }
    Ok(found)
}

fn text(value: Raw<'_>) -> Result<String, WireError> {
    utf8(value.bytes()?)
}

fn utf8(data: &[u8]) -> Result<String, WireError> {
    std::str::from_utf8(data)
        .map(str::to_owned)
        .map_err(|_| WireError::Malformed("a text is not UTF-8"))
}
