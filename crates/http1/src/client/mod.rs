//! Connections to upstreams.

mod body;
mod connection;
mod exchange;
mod send;

pub use body::ResponseBody;
pub use connection::{Connection, Reclaim};
pub use send::SendError;
