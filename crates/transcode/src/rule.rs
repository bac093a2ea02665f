//! `google.api.http` of a method, read out of its options with our own walker: it is found
//! whether or not the descriptor set has `annotations.proto` in it.
use prost::Message;
use prost_reflect::MethodDescriptor;

use crate::field::{Malformed, Records, Wire};

/// Field number of the extension `google.api.http`.
const HTTP: u32 = 72_295_728;

/// One way to call a method over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The HTTP method; `*` for any.
    pub(crate) method: String,
    pub(crate) template: String,
    pub(crate) body: Body,
    /// The field that is the response; None: all of it.
    pub(crate) response_body: Option<String>,
}

/// Where the body of a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is none; what the path does not bind may be in the query.
    None,
    /// Into the whole message; nothing may be in the query.
    Whole,
    /// Into this field; the rest may be in the query.
    Field(String),
}

/// The rules of a method: the first and its additional bindings.
pub(crate) fn of(method: &MethodDescriptor) -> Result<Vec<Rule>, String> {
    let options = method.options().encode_to_vec();
    let mut rules = Vec::new();
    for record in Records::new(&options) {
        let record = record.map_err(|error| error.to_string())?;
        if let (HTTP, Wire::Len(rule)) = (record.number, record.value) {
            read(rule, &mut rules, true)?;
        }
    }
    Ok(rules)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|error| error.to_string())
}

/// `google.api.HttpRule`.
fn read(bytes: &[u8], rules: &mut Vec<Rule>, outer: bool) -> Result<(), String> {
    let mut pattern = None;
    let mut body = Body::None;
    let mut response_body = None;
    let mut additional = Vec::new();
    for record in Records::new(bytes) {
        let record = record.map_err(|error: Malformed| error.to_string())?;
        let Wire::Len(value) = record.value else {
            continue;
        };
        let named = |method: &str| Ok::<_, String>(Some((method.to_owned(), text(value)?)));
        match record.number {
            2 => pattern = named("GET")?,
            3 => pattern = named("PUT")?,
            4 => pattern = named("POST")?,
            5 => pattern = named("DELETE")?,
            6 => pattern = named("PATCH")?,
            8 => pattern = Some(custom(value)?),
            7 => {
                body = match &*text(value)? {
                    "" => Body::None,
                    "*" => Body::Whole,
                    field => Body::Field(field.to_owned()),
                }
            }
            11 => additional.push(value),
            12 => response_body = Some(text(value)?).filter(|field| !field.is_empty()),
            _ => {}
        }
    }
    let (method, template) = pattern.ok_or("google.api.http has no pattern")?;
    rules.push(Rule {
        method,
        template,
        body,
        response_body,
    });
    if !additional.is_empty() && !outer {
        return Err("an additional binding has additional bindings".to_owned());
    }
    additional
        .into_iter()
        .try_for_each(|rule| read(rule, rules, false))
}

/// `google.api.CustomHttpPattern`.
fn custom(bytes: &[u8]) -> Result<(String, String), String> {
    let (mut kind, mut path) = (String::new(), String::new());
    for record in Records::new(bytes) {
        let record = record.map_err(|error| error.to_string())?;
        match (record.number, record.value) {
            (1, Wire::Len(value)) => kind = text(value)?,
            (2, Wire::Len(value)) => path = text(value)?,
            _ => {}
        }
    }
    Ok((kind, path))
}
