//! What is known about a request besides its head: the connection, and the time.
use std::net::IpAddr;
use std::sync::Arc;

/// The two clocks a decision needs, read once a request (or once a loop) by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, nanoseconds since any fixed point.
    pub monotonic_ns: u64,
    /// The wall clock, seconds since 1970.
    pub unix: u64,
}

/// Facts about the connection a request came on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The client: the peer, or what a trusted `x-forwarded-for` says (decided by the caller).
    pub client: IpAddr,
    /// The identity out of the *verified* certificate of the peer (SPIFFE URI, or DNS name).
    pub identity: Option<Arc<str>>,
}

impl Facts {
    /// Facts of a connection without a certificate.
    pub const fn plain(client: IpAddr) -> Self {
        Self {
            client,
            identity: None,
        }
    }
}
