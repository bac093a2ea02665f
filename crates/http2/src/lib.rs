//! HTTP/2 (RFC 9113) and HPACK (RFC 7541) for proxies, in the shape of the `h2` crate 0.4.
//!
//! A connection is one state behind one lock ([`state`]) and a transport that its owner polls
//! ([`server::Connection::accept`], [`client::Connection`]). Handles of streams write frames into
//! the connection's buffer at once, and wake the connection once; it writes all that gathered in
//! one call. What came in one read is processed before anyone runs.
//!
//! - `io`: reads, writes, timers. `out`: the write buffer. `pool`: read buffers.
//! - `state`: streams, windows, limits, every end. `message`: the rules for fields.
//! - `hpack`: compression. `frame`, `settings`: the protocol's octets.
//! - [`server`], [`client`], `share`: the handles.

pub mod client;
mod config;
mod error;
mod frame;
mod hpack;
mod io;
mod message;
mod out;
mod pool;
mod protocol;
mod reason;
pub mod server;
mod settings;
mod share;
mod state;
#[cfg(test)]
mod tests;

pub use error::{Error, Initiator};
pub use protocol::Protocol;
pub use reason::Reason;
pub use share::{FlowControl, RecvStream, SendStream};
pub use state::Allowances;
