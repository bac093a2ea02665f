//! HTTP/JSON to gRPC and back, for the methods of a descriptor set.
//!
//! | module | concept |
//! | --- | --- |
//! | `call` | one request on its way there, and its response on the way back |
//! | `stream` | the body of a response, message by message |
mod call;
mod stream;

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde::{Deserialize, Serialize};

pub use call::Call;
pub use stream::{ResponseBody, StreamError};

use crate::json::{BodyTo, Failure, JsonOptions, fields};
use crate::routes::{Found, Routes};
use crate::rule::{self, Body, Rule};
use crate::template::{Template, Variable};

/// How a descriptor set is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", default)]
pub struct Options {
    /// The services, by full name; empty: all that have annotations.
    pub services: Vec<String>,
    /// Serve `POST /package.Service/Method` too, for every method of the services.
    pub auto_mapping: bool,
    /// How JSON is written and read.
    pub json: JsonOptions,
    /// A longer body of a request is refused with 413.
    pub max_request: usize,
    /// A longer message of a response is a failure of the upstream.
    pub max_message: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            auto_mapping: false,
            json: JsonOptions::default(),
            max_request: 4 << 20,
            max_message: 4 << 20,
        }
    }
}

/// A descriptor set that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a `FileDescriptorSet`, or one that lacks imports (`protoc --include_imports`).
    #[error("not a complete descriptor set: {0}")]
    Descriptors(String),
    /// A service that is named but is not there.
    #[error("services: {0:?} is not in the descriptor set")]
    NoService(String),
    /// An annotation that cannot be meant.
    #[error("{method}: google.api.http: {why}")]
    Annotation {
        /// `package.Service.Method`.
        method: String,
        /// What is wrong.
        why: String,
    },
}

/// The methods of a descriptor set, by their HTTP requests.
#[derive(Debug)]
pub struct Transcoder {
    shared: Arc<Shared>,
    bindings: Vec<Arc<Binding>>,
    routes: Routes,
}

#[derive(Debug)]
struct Shared {
    pool: DescriptorPool,
    options: Options,
}

/// One way to call one method.
#[derive(Debug)]
struct Binding {
    method: MethodDescriptor,
    path: PathAndQuery,
    body_to: BodyTo,
    response_field: Option<FieldDescriptor>,
    variables: Vec<(Vec<FieldDescriptor>, Variable)>,
}

/// How several messages are written one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `[a,b,c]`; broken off if the call fails.
    Array,
    /// One a line; the last is `{"error": …}` if the call fails.
    Lines,
    /// Server-sent events; the last is of the kind `error` if the call fails.
    Events,
    /// The bytes of `google.api.HttpBody`.
    Raw,
}

impl Transcoder {
    /// Reads a `FileDescriptorSet` (`protoc --include_imports --descriptor_set_out`).
    ///
    /// # Errors
    /// [`Error`]: the first thing that is wrong, with the method it is about.
    pub fn new(descriptor_set: &[u8], options: Options) -> Result<Self, Error> {
        let pool = DescriptorPool::decode(descriptor_set)
            .map_err(|error| Error::Descriptors(error.to_string()))?;
        for name in &options.services {
            if pool.get_service_by_name(name).is_none() {
                return Err(Error::NoService(name.clone()));
            }
        }
        let mut this = Self {
            shared: Arc::new(Shared {
                pool: pool.clone(),
                options,
            }),
            bindings: Vec::new(),
            routes: Routes::default(),
        };
        let all = this.shared.options.services.is_empty();
        for service in pool.services() {
            let named = this
                .shared
                .options
                .services
                .iter()
                .any(|s| s == service.full_name());
            if all || named {
                service
                    .methods()
                    .try_for_each(|method| this.add_method(&method))?;
            }
        }
        Ok(this)
    }

    fn add_method(&mut self, method: &MethodDescriptor) -> Result<(), Error> {
        let annotation = |why: String| Error::Annotation {
            method: method.full_name().to_owned(),
            why,
        };
        let mut rules = rule::of(method).map_err(annotation)?;
        if self.shared.options.auto_mapping {
            rules.push(Rule {
                method: "POST".to_owned(),
                template: grpc_path(method),
                body: Body::Whole,
                response_body: None,
            });
        }
        rules
            .iter()
            .try_for_each(|rule| self.add_rule(method, rule))
            .map_err(annotation)
    }

    fn add_rule(&mut self, method: &MethodDescriptor, rule: &Rule) -> Result<(), String> {
        let template = Template::parse(&rule.template)?;
        let input = method.input();
        let body_to = match &rule.body {
            Body::None => BodyTo::None,
            Body::Whole => BodyTo::Whole,
            Body::Field(name) => BodyTo::Field(own_field(&input, name)?),
        };
        if method.is_client_streaming() && !matches!(body_to, BodyTo::Whole) {
            return Err("a stream of requests needs body: \"*\"".to_owned());
        }
        let path = grpc_path(method);
        let response = rule.response_body.as_deref();
        let binding = Binding {
            path: path
                .parse()
                .map_err(|_| format!("{path:?} is not a path"))?,
            method: method.clone(),
            body_to,
            response_field: response
                .map(|name| own_field(&method.output(), name))
                .transpose()?,
            variables: bound(&input, &template)?,
        };
        let added = self
            .routes
            .add(&rule.method, &template, self.bindings.len());
        added.map_err(|other| {
            let other = self
                .bindings
                .get(other)
                .map(|other| other.method.full_name().to_owned());
            let (verb, template) = (&rule.method, &rule.template);
            format!(
                "{verb} {template} is already that of {}",
                other.unwrap_or_default()
            )
        })?;
        self.bindings.push(Arc::new(binding));
        Ok(())
    }

    /// How many ways there are to call methods.
    pub const fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether nothing can be called.
    pub const fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// The descriptors, for [`FieldPath::resolve`](crate::field::FieldPath::resolve).
    pub fn pool(&self) -> &DescriptorPool {
        &self.shared.pool
    }

    /// The call a request is. None: no annotation has this path, or it is gRPC already.
    ///
    /// # Errors
    /// 405 if the path is known with other methods.
    pub fn find(&self, parts: &Parts) -> Option<Result<Call, Failure>> {
        let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            return None;
        }
        match self.routes.find(parts.method.as_str(), parts.uri.path()) {
            Found::Nothing => None,
            Found::OtherMethods(allow) => {
                let failure = Failure::new(12, format!("not with {}", parts.method))
                    .with_status(StatusCode::METHOD_NOT_ALLOWED);
                Some(Err(Failure { allow, ..failure }))
            }
            Found::Binding(index, segments) => {
                let binding = self.bindings.get(index)?;
                Some(Ok(Call {
                    shared: Arc::clone(&self.shared),
                    binding: Arc::clone(binding),
                    variables: binding
                        .variables
                        .iter()
                        .map(|(_, variable)| variable.value(&segments))
                        .collect(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    format: format(parts),
                }))
            }
        }
    }
}

/// The fields that the variables of a path go into.
fn bound(
    input: &MessageDescriptor,
    template: &Template,
) -> Result<Vec<(Vec<FieldDescriptor>, Variable)>, String> {
    let resolve = |variable: &Variable| {
        let path = fields(input, &variable.path)?;
        let last = path.last();
        if last.is_some_and(|last| last.is_list() || last.is_map()) {
            let why = "is a list and cannot be in the path";
            return Err(format!("{:?} {why}", variable.path));
        }
        Ok((path, variable.clone()))
    };
    template.variables.iter().map(resolve).collect()
}

fn own_field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    let mut path = fields(message, name)?;
    match (path.pop(), path.is_empty()) {
        (Some(field), true) => Ok(field),
        _ => Err(format!("{name:?} has to be a field of the message itself")),
    }
}

fn grpc_path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The format of several messages that the caller asks for.
fn format(parts: &Parts) -> Format {
    let accepts = |kind: &str| {
        parts.headers.get_all(ACCEPT).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.to_ascii_lowercase().contains(kind))
        })
    };
    match () {
        () if accepts("text/event-stream") => Format::Events,
        () if accepts("application/x-ndjson") || accepts("application/jsonl") => Format::Lines,
        () => Format::Array,
    }
}

#[cfg(test)]
mod tests;
