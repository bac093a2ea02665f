//! Who owns which field of an object, and server-side apply: what kube-apiserver 1.36 does with
//! `sigs.k8s.io/structured-merge-diff/v6` and `apimachinery/pkg/util/managedfields`.
//!
//! `schema` has types, `value` objects, `set` fields of objects; `typed` walks objects by their
//! type (compare, merge, remove …), `managers` reads and writes `metadata.managedFields`, `engine`
//! is what a write calls: [`update`] after every create, update and patch, [`apply`] for
//! server-side apply.
#![forbid(unsafe_code)]

mod apply;
mod element;
mod engine;
mod fresh;
mod managers;
mod merge;
mod reconcile;
mod scale;
mod schema;
mod set;
mod shape;
mod typed;
mod validate;
mod value;

pub use apply::{Applied, apply, last_applied_of};
pub use element::Element;
pub use engine::{Managed, Request, Versions, update};
pub use managers::{Managers, Operation};
pub use scale::{scale_from, scale_to};
pub use schema::{Atom, Field, ListType, MapType, Scalar, Schema, Shape, TypeId};
pub use set::Set;
pub use typed::Comparison;
pub use validate::Problems;
pub use value::Value;

/// One field that others own, as a conflict tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it: `"name" using v1`.
    pub manager: String,
    /// The path, such as `.spec.ports[port=80,protocol="TCP"].name`.
    pub field: String,
}

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Bytes that are no JSON, or managed fields that are none.
    #[error("{0}")]
    Malformed(String),
    /// A schema that is not understood.
    #[error("schema error: {0}")]
    Schema(String),
    /// A patch that does not fit its schema.
    #[error("{0}")]
    Patch(String),
    /// Another object that does not fit its schema.
    #[error("{0}")]
    Typed(String),
    /// Fields that others own.
    #[error("{} conflicts", .0.len())]
    Conflicts(Vec<Conflict>),
}

impl MergeError {
    pub(crate) fn malformed(message: impl Into<String>) -> MergeError {
        MergeError::Malformed(message.into())
    }
}

impl From<serde_json::Error> for MergeError {
    fn from(error: serde_json::Error) -> Self {
        MergeError::Malformed(error.to_string())
    }
}
