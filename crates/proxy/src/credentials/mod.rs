//! TLS from secrets: what a listener shows its clients, what a cluster shows and demands.
//!
//! | module | concept |
//! | --- | --- |
//! | `material` | certificates, keys and roots read from a secret |
//! | `server` | towards clients |
//! | `client` | towards endpoints |
pub mod client;
pub mod material;
mod members;
pub mod server;

pub use client::ClientTls;
pub use material::Material;
pub use server::ServerTls;
