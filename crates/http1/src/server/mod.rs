//! Connections that clients opened.
//!
//! ```no_run
//! # async fn serve(io: tokio::net::TcpStream) -> Result<(), cloudwright_http1::Error> {
//! # use std::sync::Arc;
//! # use bytes::Bytes;
//! # use cloudwright_http1::{Limits, server::{Connection, Whole}};
//! let mut connection = Connection::new(io, Arc::new(Limits::default()));
//! while let Some(request) = connection.accept().await {
//!     match request {
//!         Ok(_request) => connection.respond(http::Response::new(Whole::from("hello"))).await?,
//!         // Malformed: counted here, answered and closed by the next `accept`.
//!         Err(error) => eprintln!("{}", error.reason()),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod body;
mod close;
mod connection;
mod respond;
mod shared;

pub use body::{RequestBody, Whole};
pub use close::Closer;
pub use connection::Connection;
