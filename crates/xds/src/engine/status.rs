//! What an operator sees of the control stream.
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Engine, store::Rejection};
use crate::kind::Kind;

/// State of the control stream and of what came by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The stream is open.
    pub connected: bool,
    pub server: String,
    /// Streams that were opened so far.
    pub streams: u64,
    /// Why the last stream ended or could not be opened.
    pub last_error: Option<String>,
    pub types: BTreeMap<Kind, TypeStatus>,
    /// Resources that are not used yet because something they name is missing.
    pub waiting: Vec<String>,
    /// Fields that are not acted upon.
    pub warnings: Vec<String>,
    /// Changes by time (not by an answer) that the proxy refused.
    pub last_refusal: Option<String>,
}

/// One type of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TypeStatus {
    /// The version in force; delta: the last one of the server's system.
    pub version: String,
    pub resources: usize,
    /// Names that are asked for; 0 with a wildcard.
    pub wanted: usize,
    pub accepted: u64,
    pub rejected: u64,
    pub last_rejection: Option<Rejection>,
}

impl Engine {
    /// The present state; `server`, `streams` and `last_error` are the transport's.
    #[must_use]
    pub fn status(&self) -> Status {
        let types = Kind::ALL.into_iter().map(|kind| {
            let store = self.store(kind);
            let status = TypeStatus {
                version: store.version.to_string(),
                resources: store.entries.len(),
                wanted: store.wanted.len(),
                accepted: store.accepted,
                rejected: store.rejected,
                last_rejection: store.last_rejection.clone(),
            };
            (kind, status)
        });
        Status {
            connected: self.connected,
            types: types.collect(),
            waiting: self
                .active
                .waiting
                .keys()
                .map(|(kind, name)| format!("{kind} {name}"))
                .collect(),
            warnings: self
                .context
                .warnings
                .iter()
                .map(ToString::to_string)
                .collect(),
            last_refusal: self.last_refusal.clone(),
            ..Status::default()
        }
    }
}
