//! What a proxy is told: listeners, route tables, clusters, endpoints and secrets.
//!
//! | module | concept |
//! | --- | --- |
//! | `listener` | where connections come in, TLS and limits of their clients |
//! | `route` `matching` `policy` | what happens with a request, which ones are meant, how it is sent |
//! | `cluster` `endpoint` | where requests go and how they are kept off what is broken |
//! | `grpc` | gRPC for clients that do not speak it |
//! | `guard` | who may send requests, and how many |
//! | `secret` | certificates, keys and trust |
//! | `address` `duration` | values that people write |
//! | `resources` | all of them by name, as one immutable set |
//! | `load` `check` `error` | from a file, checked as a whole or refused as a whole |
//!
//! Pure data: no socket and no clock; only `load` reads files. A set comes from a YAML or JSON file,
//! from xDS, or from the mesh snapshot; the proxy does not know from which.
#![forbid(unsafe_code)]

pub mod address;
pub mod check;
pub mod cluster;
pub mod duration;
pub mod endpoint;
pub mod error;
pub mod grpc;
pub mod guard;
pub mod listener;
pub mod load;
pub mod matching;
pub mod policy;
pub mod resources;
pub mod route;
pub mod secret;

pub use address::Address;
pub use cluster::{Cluster, Discovery, LoadBalancer};
pub use endpoint::Endpoint;
pub use error::ConfigError;
pub use listener::Listener;
pub use load::{from_file, from_text};
pub use resources::Resources;
pub use route::{Action, Forward, Route, RouteTable, VirtualHost};
pub use secret::Secret;
