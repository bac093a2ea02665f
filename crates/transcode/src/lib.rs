//! HTTP/JSON ⇄ gRPC, gRPC-Web ⇄ gRPC, and single fields out of encoded messages.
//!
//! | module | concept |
//! | --- | --- |
//! | `field` | one field of an encoded message, without decoding the rest |
//! | `frame` | the length-prefixed messages of gRPC |
//! | `template` `rule` `routes` | which method an HTTP request calls (`google.api.http`) |
//! | `json` | requests and responses between JSON and messages |
//! | `transcoder` | all of that: [`Transcoder`] → [`Call`] |
//! | `status` | gRPC status ⇄ HTTP status and `google.rpc.Status` |
//! | `web` | gRPC-Web, binary and text, and CORS |
//!
//! Nothing here sends anything: requests and responses are turned into others, bodies are
//! [`http_body::Body`] adapters.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod field;
pub mod frame;
mod json;
mod routes;
mod rule;
mod status;
mod template;
#[cfg(test)]
mod testing;
mod transcoder;
pub mod web;

pub use json::{Failure, JsonOptions, Violation};
pub use status::{GrpcStatus, http_status};
pub use transcoder::{Call, Error, Options, ResponseBody, StreamError, Transcoder};
