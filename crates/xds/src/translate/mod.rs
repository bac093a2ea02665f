//! From Envoy's v3 messages to the data plane's configuration, read in place.
//!
//! | module | concept |
//! | --- | --- |
//! | `context` | walking a message by its table; problems with paths, warnings |
//! | `common` | addresses, matchers, header edits, percentages |
//! | `listener` `connection_manager` `tcp` | `Listener` and its filters |
//! | `route` `matching` `action` `fault` | `RouteConfiguration` |
//! | `cluster` `balance` `protocol` `health` | `Cluster` |
//! | `endpoint` | `ClusterLoadAssignment` |
//! | `tls` `sockets` | TLS contexts and `Secret`; TLS by endpoint |
use std::sync::Arc;

use cloudwright_config::{Secret, resources::Assignment};

mod action;
mod balance;
pub mod cluster;
mod common;
mod connection_manager;
pub mod context;
mod endpoint;
mod fault;
mod health;
pub mod listener;
mod matching;
mod protocol;
pub mod route;
mod sockets;
mod tcp;
pub mod tls;

pub use cluster::ClusterParts;
pub use context::{Bad, Context, Warning};
pub use listener::ListenerParts;
pub use route::TableParts;

use crate::{kind::Kind, wire};

/// One resource, translated, with what it refers to.
#[derive(Debug, Clone)]
pub enum Resource {
    Listener(Arc<ListenerParts>),
    Routes(Arc<TableParts>),
    Cluster(Arc<ClusterParts>),
    Assignment(Arc<Assignment>),
    Secret(Arc<Secret>),
}

/// Translates the bytes of one resource.
///
/// # Errors
/// The first field that is broken or not supported, with its path within the resource.
pub fn resource(cx: &mut Context, kind: Kind, bytes: &[u8]) -> Result<Resource, Bad> {
    Ok(match kind {
        Kind::Listener => Resource::Listener(Arc::new(listener::listener(cx, bytes)?)),
        Kind::Routes => Resource::Routes(Arc::new(route::table(cx, bytes, None)?)),
        Kind::Cluster => Resource::Cluster(Arc::new(cluster::cluster(cx, bytes)?)),
        Kind::Endpoints => Resource::Assignment(Arc::new(endpoint::assignment(cx, bytes, false)?)),
        Kind::Secret => Resource::Secret(Arc::new(tls::secret(cx, bytes)?)),
    })
}

/// The name of a resource, which is its first field in every type.
///
/// # Errors
/// Broken bytes, or no name.
pub fn name(bytes: &[u8]) -> Result<Arc<str>, Bad> {
    name_field(bytes, 1)
}

fn name_field(bytes: &[u8], number: u32) -> Result<Arc<str>, Bad> {
    for field in wire::Fields::new(bytes) {
        let (found, value) = field?;
        if found == number {
            let text = value.text()?;
            if !text.is_empty() {
                return Ok(text.into());
            }
        }
    }
    Err(Bad::new("is needed").within("name"))
}
