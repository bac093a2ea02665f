//! Values out of text: of the path and the query.
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

/// Messages that JSON writes as one value (and so the query can).
const SINGLE: [&str; 12] = [
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.BoolValue",
    "google.protobuf.StringValue",
    "google.protobuf.BytesValue",
    "google.protobuf.Int32Value",
    "google.protobuf.Int64Value",
    "google.protobuf.UInt32Value",
    "google.protobuf.UInt64Value",
    "google.protobuf.FloatValue",
    "google.protobuf.DoubleValue",
];

/// Whether text can be a value of this kind.
pub(super) fn is_single(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => SINGLE.contains(&message.full_name()),
        _ => true,
    }
}

fn number<T: std::str::FromStr>(
    text: &str,
    of: fn(T) -> Value,
    what: &str,
) -> Result<Value, String> {
    text.parse()
        .map(of)
        .map_err(|_| format!("{text:?} is not {what}"))
}

/// The value that `text` writes.
///
/// Errors say what it should have been.
pub(super) fn parse(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => number(text, Value::Bool, "true or false"),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => number(text, Value::I32, "a 32-bit number"),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => number(text, Value::I64, "a 64-bit number"),
        Kind::Uint32 | Kind::Fixed32 => number(text, Value::U32, "a 32-bit number ≥ 0"),
        Kind::Uint64 | Kind::Fixed64 => number(text, Value::U64, "a 64-bit number ≥ 0"),
        Kind::Float => number(text, Value::F32, "a number"),
        Kind::Double => number(text, Value::F64, "a number"),
        Kind::Bytes => bytes(text),
        Kind::Enum(descriptor) => {
            let named = descriptor
                .get_value_by_name(text)
                .map(|value| value.number());
            let value = named.or_else(|| text.parse().ok());
            value.map(Value::EnumNumber).ok_or_else(|| {
                let names: Vec<_> = descriptor.values().map(|v| v.name().to_owned()).collect();
                format!("{text:?} is none of {}", names.join(", "))
            })
        }
        Kind::Message(descriptor) => message(descriptor, text),
    }
}

fn bytes(text: &str) -> Result<Value, String> {
    let engines = [&URL_SAFE_NO_PAD, &URL_SAFE, &STANDARD_NO_PAD, &STANDARD];
    engines
        .iter()
        .find_map(|engine| engine.decode(text).ok())
        .map(|bytes| Value::Bytes(bytes.into()))
        .ok_or_else(|| "is not base64".to_owned())
}

fn message(descriptor: &MessageDescriptor, text: &str) -> Result<Value, String> {
    let read = |value: serde_json::Value| DynamicMessage::deserialize(descriptor.clone(), value);
    // Most are strings in JSON; bool and the smaller numbers are not.
    read(text.into())
        .or_else(|error| match serde_json::from_str(text) {
            Ok(value) => read(value),
            Err(_) => Err(error),
        })
        .map(Value::Message)
        .map_err(|error| error.to_string())
}
