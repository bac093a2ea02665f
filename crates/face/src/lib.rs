//! The HTTP face of the API server.
//!
//! A thread of its own speaks TLS, HTTP/1.1 and HTTP/2. Requests are handed to the embedding
//! program in batches (`Server::take`, announced by an eventfd) and answered by id. What needs no
//! decision of the program is answered here: reads of objects that it fed in, for callers whom it
//! allowed before, and the fan-out of watch events.
mod answer;
mod bodies;
mod body;
mod config;
mod connection;
mod cork;
mod counts;
mod exchange;
mod fan;
mod inbox;
mod initial;
mod kinds;
mod listing;
mod outbox;
pub mod query;
mod reads;
mod serve;
mod server;
mod state;
mod status;
mod stream;
mod tls;
mod transport;
mod waiting;

pub use answer::Head;
pub use config::Config;
pub use counts::{BUCKETS, Count, Counts, Gauge, Labels};
pub use fan::Bookmark;
pub use inbox::{Arrival, Notice};
pub use kinds::Kind;
pub use server::{Change, Server, StartError, WatchWish};
pub use tls::{Peer, TlsError};
