//! The proxy that its configuration describes: resources become listeners, tables and clusters.
//!
//! | module | concept |
//! | --- | --- |
//! | `state` `staging` | what is in force, and how a new set takes its place: whole, or not at all |
//! | `listening` `served` `connection` `rewind` | sockets and the connections on them |
//! | `shared` | what all of them share |
//! | `keeping` | what goes on without requests: names resolved, endpoints asked, ejections ended |
//! | `admin` | the socket for whoever runs the proxy |
//! | `file` `control` | resources from a file that is read again when it changes; by xDS |
pub mod admin;
pub mod connection;
pub mod control;
pub mod file;
pub mod keeping;
pub mod listening;
pub mod rewind;
pub mod served;
pub mod shared;
mod staging;
pub mod state;
