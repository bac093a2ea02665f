//! JSON out of the message of a response.
use bytes::Bytes;
use http::HeaderValue;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use super::{Failure, JsonOptions};

/// The body that a message becomes, and its content type if that is not JSON.
pub(crate) struct Printed {
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<HeaderValue>,
}

/// Whether the response brings its own body and content type (`google.api.HttpBody`).
pub(crate) fn is_http_body(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.api.HttpBody"
}

/// Prints an encoded message, or the one field of it that is the response.
pub(crate) fn print(
    descriptor: &MessageDescriptor,
    field: Option<&FieldDescriptor>,
    payload: Bytes,
    options: JsonOptions,
) -> Result<Printed, Failure> {
    let broken = |why: String| Failure::new(13, format!("the upstream's message: {why}"));
    let message = DynamicMessage::decode(descriptor.clone(), payload)
        .map_err(|error| broken(error.to_string()))?;
    if is_http_body(descriptor) {
        return Ok(raw(&message));
    }
    let style = SerializeOptions::new()
        // A field that is the whole response is there also when it has its default.
        .skip_default_fields(!options.print_defaults && field.is_none())
        .use_enum_numbers(options.enum_numbers)
        .use_proto_field_name(options.proto_names);
    let body = match field {
        None => {
            let mut out = Vec::with_capacity(128);
            let mut json = serde_json::Serializer::new(&mut out);
            let result = message.serialize_with_options(&mut json, &style);
            result.map_err(|error| broken(error.to_string()))?;
            out
        }
        Some(field) => {
            let whole = message
                .serialize_with_options(serde_json::value::Serializer, &style)
                .map_err(|error| broken(error.to_string()))?;
            let name = if options.proto_names {
                field.name()
            } else {
                field.json_name()
            };
            let value = whole.get(name).unwrap_or(&Value::Null);
            value.to_string().into_bytes()
        }
    };
    Ok(Printed {
        body: body.into(),
        content_type: None,
    })
}

fn raw(message: &DynamicMessage) -> Printed {
    let field = |name: &str| message.get_field_by_name(name);
    let kind = field("content_type").and_then(|value| {
        HeaderValue::from_str(value.as_str().filter(|text| !text.is_empty())?).ok()
    });
    let data = field("data").and_then(|value| value.as_bytes().cloned());
    let octets = HeaderValue::from_static("application/octet-stream");
    Printed {
        body: data.unwrap_or_default(),
        content_type: Some(kind.unwrap_or(octets)),
    }
}
