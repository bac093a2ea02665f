//! Requests out of JSON, path and query; JSON out of responses; and what was wrong with them.
mod request;
mod response;
mod scalar;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use request::{BodyTo, Input, fields, messages};
pub(crate) use response::{Printed, is_http_body, print};

use crate::status::http_status;

/// How JSON is written and how strictly it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", default)]
pub struct JsonOptions {
    /// Write fields that have their default value too.
    pub print_defaults: bool,
    /// Write enums as numbers.
    pub enum_numbers: bool,
    /// Write the names of the `.proto` instead of lowerCamelCase.
    pub proto_names: bool,
    /// Pass over fields of a body that the message does not have, instead of refusing.
    pub ignore_unknown_fields: bool,
    /// Pass over parameters of the query that name no field, instead of refusing.
    pub ignore_unknown_query: bool,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, e.g. `book.author.born`; empty: the body as a whole.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// Why a request cannot be made a call, or an answer not be made JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// `google.rpc.Code`.
    pub code: u32,
    /// One line.
    pub message: String,
    /// Fields that are wrong.
    pub violations: Vec<Violation>,
    /// For 405: the methods there are.
    pub allow: Vec<String>,
}

impl Failure {
    /// A failure with a code, and the HTTP status that goes with it.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            status: http_status(code),
            code,
            message: message.into(),
            violations: Vec::new(),
            allow: Vec::new(),
        }
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// `INVALID_ARGUMENT` about a field.
    pub(crate) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = Violation {
            field: field.into(),
            description: description.into(),
        };
        let message = match &*violation.field {
            "" => violation.description.clone(),
            field => format!("{field}: {}", violation.description),
        };
        Self {
            violations: vec![violation],
            ..Self::new(3, message)
        }
    }

    /// The answer: `google.rpc.Status` as JSON, with a `google.rpc.BadRequest` if fields are
    /// wrong.
    pub fn response(&self) -> Response<Bytes> {
        let mut status = json!({"code": self.code, "message": self.message});
        if !self.violations.is_empty() {
            let violations: Vec<_> = self
                .violations
                .iter()
                .map(|one| json!({"field": one.field, "description": one.description}))
                .collect();
            let detail = json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": violations,
            });
            if let Some(object) = status.as_object_mut() {
                object.insert("details".to_owned(), json!([detail]));
            }
        }
        let mut response = Response::new(Bytes::from(status.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let (false, Ok(methods)) = (
            self.allow.is_empty(),
            HeaderValue::from_str(&self.allow.join(", ")),
        ) {
            headers.insert(ALLOW, methods);
        }
        response
    }
}
