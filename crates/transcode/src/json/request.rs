//! The message of a request: from the body, then the query, then the path.
use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use serde_json::value::RawValue;

use super::scalar;
use super::{Failure, JsonOptions};
use crate::field::field_named;

/// Where the body goes, resolved.
#[derive(Debug, Clone)]
pub(crate) enum BodyTo {
    None,
    Whole,
    Field(FieldDescriptor),
}

/// What a request says, apart from its body.
pub(crate) struct Input<'a> {
    pub(crate) message: &'a MessageDescriptor,
    pub(crate) body_to: &'a BodyTo,
    /// Fields bound by the path, with their values.
    pub(crate) variables: Vec<(&'a [FieldDescriptor], String)>,
    pub(crate) query: &'a str,
    pub(crate) options: JsonOptions,
}

/// Messages within messages deeper than this are not set by a path: protobuf itself reads 100.
const MAX_DEPTH: usize = 32;

/// Resolves `a.b.c` to fields.
pub(crate) fn fields(
    message: &MessageDescriptor,
    path: &str,
) -> Result<Vec<FieldDescriptor>, String> {
    let mut within = Some(message.clone());
    let mut found = Vec::new();
    for name in path.split('.') {
        if found.len() == MAX_DEPTH {
            return Err(format!("goes deeper than {MAX_DEPTH} messages"));
        }
        let message =
            within.ok_or_else(|| format!("{path:?} goes into something that has no fields"))?;
        let field = field_named(&message, name)
            .ok_or_else(|| format!("{} has no field {name:?}", message.full_name()))?;
        within = match field.kind() {
            Kind::Message(inner) if !field.is_list() && !field.is_map() => Some(inner),
            _ => None,
        };
        found.push(field);
    }
    Ok(found)
}

/// The messages of a request: one, or with `several` those of a JSON array.
pub(crate) fn messages(
    input: &Input,
    body: &[u8],
    several: bool,
) -> Result<Vec<DynamicMessage>, Failure> {
    if !several {
        return Ok(vec![message(input, body)?]);
    }
    let items: Vec<&RawValue> = if body.trim_ascii().is_empty() {
        Vec::new()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Failure::field("", format!("not an array of messages: {error}")))?
    };
    let at = |(index, item): (usize, &&RawValue)| {
        message(input, item.get().as_bytes()).map_err(|mut failure| {
            for violation in &mut failure.violations {
                let dot = if violation.field.is_empty() { "" } else { "." };
                violation.field = format!("[{index}]{dot}{}", violation.field);
            }
            failure.message = format!("[{index}]: {}", failure.message);
            failure
        })
    };
    items.iter().enumerate().map(at).collect()
}

fn message(input: &Input, body: &[u8]) -> Result<DynamicMessage, Failure> {
    let mut message = match input.body_to {
        BodyTo::None => DynamicMessage::new(input.message.clone()),
        BodyTo::Whole => read(input.message, body, "", input.options)?,
        BodyTo::Field(field) => {
            let mut message = DynamicMessage::new(input.message.clone());
            if !body.trim_ascii().is_empty() {
                let value = field_value(input.message, field, body, input.options)?;
                message.set_field(field, value);
            }
            message
        }
    };
    let mut seen = Vec::new();
    for (name, value) in parameters(input.query) {
        parameter(input, &mut message, &mut seen, &name, &value)?;
    }
    for (path, text) in &input.variables {
        set(&mut message, path, text).map_err(|why| Failure::field(dotted(path), why))?;
    }
    Ok(message)
}

fn dotted(path: &[FieldDescriptor]) -> String {
    let names: Vec<&str> = path.iter().map(FieldDescriptor::name).collect();
    names.join(".")
}

/// Reads a message; an empty body is an empty message.
fn read(
    descriptor: &MessageDescriptor,
    body: &[u8],
    under: &str,
    options: JsonOptions,
) -> Result<DynamicMessage, Failure> {
    if body.trim_ascii().is_empty() {
        return Ok(DynamicMessage::new(descriptor.clone()));
    }
    let strict = DeserializeOptions::new().deny_unknown_fields(!options.ignore_unknown_fields);
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let result = DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &strict)
        .and_then(|message| json.end().map(|()| message));
    result.map_err(|error| {
        // A path that ends before its end ("?"): the error is in what it names so far.
        let path = track.path().to_string();
        let path = path.trim_end_matches(['?', '.']);
        let field = match (under, path) {
            (under, "") => under.to_owned(),
            ("", path) => path.to_owned(),
            (under, path) => format!("{under}.{path}"),
        };
        Failure::field(field, error.to_string())
    })
}

/// A body that is one field.
fn field_value(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    body: &[u8],
    options: JsonOptions,
) -> Result<Value, Failure> {
    if let (Kind::Message(inner), false, false) = (field.kind(), field.is_list(), field.is_map()) {
        return read(&inner, body, field.name(), options).map(Value::Message);
    }
    // Lists, maps and single values: as the only field of the message they are in.
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| Failure::field(field.name(), format!("not JSON: {error}")))?;
    let name = serde_json::Value::from(field.json_name());
    let wrapped = format!("{{{name}:{}}}", raw.get());
    let mut message = read(message, wrapped.as_bytes(), "", options)?;
    Ok(message
        .take_field(field)
        .unwrap_or_else(|| Value::default_value_for_field(field)))
}

/// Name and value of each parameter, decoded.
fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| {
        let spaced = if text.contains('+') {
            Cow::Owned(text.replace('+', " "))
        } else {
            Cow::Borrowed(text)
        };
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
}

fn parameter(
    input: &Input,
    message: &mut DynamicMessage,
    seen: &mut Vec<String>,
    name: &str,
    value: &str,
) -> Result<(), Failure> {
    let path = match fields(input.message, name) {
        Ok(path) => path,
        Err(_) if input.options.ignore_unknown_query => return Ok(()),
        Err(why) => return Err(Failure::field(name, why)),
    };
    let bound = match input.body_to {
        BodyTo::Whole => true,
        BodyTo::Field(field) => path.first() == Some(field),
        BodyTo::None => false,
    };
    let starts = |(own, _): &(&[FieldDescriptor], String)| path.starts_with(own);
    if bound || input.variables.iter().any(starts) {
        return Err(Failure::field(
            name,
            "is in the path or the body, not in the query",
        ));
    }
    let Some(last) = path.last() else {
        return Ok(());
    };
    if last.is_map() || !scalar::is_single(&last.kind()) {
        return Err(Failure::field(
            name,
            "cannot be in a query: it is a message or a map",
        ));
    }
    let full = dotted(&path);
    if !last.is_list() {
        if seen.contains(&full) {
            return Err(Failure::field(
                name,
                "is there more than once and is no list",
            ));
        }
        seen.push(full);
    }
    set(message, &path, value).map_err(|why| Failure::field(name, why))
}

/// Sets the field at the end of `path`, or adds to it if it is a list.
fn set(message: &mut DynamicMessage, path: &[FieldDescriptor], text: &str) -> Result<(), String> {
    let (first, rest) = path.split_first().ok_or("no field")?;
    if !rest.is_empty() {
        let inner = message
            .get_field_mut(first)
            .as_message_mut()
            .ok_or("not a message")?;
        return set(inner, rest, text);
    }
    let value = scalar::parse(&first.kind(), text)?;
    if first.is_list() {
        message
            .get_field_mut(first)
            .as_list_mut()
            .ok_or("not a list")?
            .push(value);
    } else {
        message.set_field(first, value);
    }
    Ok(())
}
