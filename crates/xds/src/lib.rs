//! The data plane's side of xDS v3: any control plane's listeners, routes, clusters, endpoints and
//! secrets become [`cloudwright_config::Resources`].
//!
//! | module | concept |
//! | --- | --- |
//! | `wire` | protocol buffers, read in place and written |
//! | `schema` | what is done with each field of Envoy's messages |
//! | `translate` | Envoy's messages → configuration |
//! | `kind` `message` | the five types; requests and answers of the discovery service |
//! | `engine` | the protocol as pure state: acknowledging, refusing, warming, reconnecting |
//! | `options` | the `control` block of the bootstrap |
//! | `transport` `tls` `grpc` | TCP, TLS or a Unix socket; gRPC's framing |
//! | `session` `pacing` | one stream; refusals that repeat are slow |
//! | `client` `backoff` | streams one after the other |
#![forbid(unsafe_code)]

mod backoff;
pub mod client;
pub mod engine;
pub mod grpc;
pub mod kind;
pub mod message;
pub mod options;
mod pacing;
pub mod schema;
pub mod session;
mod tls;
pub mod translate;
mod transport;
pub mod wire;

pub use client::{Client, Handle, Running};
pub use engine::{Changed, Engine, Sink, Status, Update};
pub use kind::Kind;
pub use options::Control;
