//! gRPC for clients that do not speak it: gRPC-Web, and JSON by descriptors.
use std::path::PathBuf;

use cloudwright_transcode::{Options, web::Cors};
use serde::{Deserialize, Serialize};

/// A descriptor set whose annotated methods are served as JSON over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcode {
    /// A `FileDescriptorSet` (`protoc --include_imports --descriptor_set_out`).
    pub descriptors: PathBuf,
    #[serde(default)]
    pub options: Options,
}

/// What a listener offers besides gRPC itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// gRPC-Web, binary and text.
    pub web: bool,
    pub transcode: Option<Transcode>,
    /// What pages of other origins may do.
    pub cors: Option<Cors>,
}

impl Grpc {
    /// Whether nothing is offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
