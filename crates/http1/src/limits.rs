//! How much of a peer's bytes and time a connection takes.

use std::time::Duration;

/// Most header fields a head may have, whatever [`Limits::max_fields`] says.
pub(crate) const FIELDS: usize = 128;

/// Bounds of one connection; shared by many through an `Arc`.
///
/// Statuses are those a server answers with; a client reports the same faults of a response as
/// errors, which its caller answers with 502.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a head: start line and fields (431 beyond).
    pub max_head: usize,
    /// Bytes of a request's target (414 beyond).
    pub max_target: usize,
    /// Header fields of a head, at most 128 (431 beyond).
    pub max_fields: usize,
    /// Bytes of a trailer section (400 beyond).
    pub max_trailers: usize,
    /// Bytes of all chunk extensions of one body together (400 beyond).
    pub max_extensions: usize,
    /// Bytes of a request's body; `None`: any (413 beyond). Responses have no such limit.
    pub max_body: Option<u64>,
    /// Bytes of a body nobody read that are skipped so that the connection can be kept.
    pub max_drain: u64,
    /// From the first byte of a head to its last (408 after it).
    pub head_timeout: Duration,
    /// How long nothing of a request's body may come while it is waited for (408 after it).
    pub body_timeout: Duration,
    /// How long a client may take nothing of a response before the connection is given up.
    pub write_timeout: Duration,
    /// How long a connection may wait for its next request: it is closed after this time, at
    /// the latest after one and a half of it.
    pub idle_timeout: Duration,
    /// How long a connection that is being closed reads on, so that the peer gets the answer.
    pub linger_timeout: Duration,
    /// 1xx answers to one request that a client takes.
    pub max_interim: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head: 60 * 1024,
            max_target: 16 * 1024,
            max_fields: 100,
            max_trailers: 8 * 1024,
            max_extensions: 4 * 1024,
            max_body: None,
            max_drain: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(2),
            max_interim: 16,
        }
    }
}
