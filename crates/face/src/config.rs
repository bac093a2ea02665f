//! Limits of a server.
use std::time::Duration;

/// What a server takes and how long it waits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Larger bodies are answered with 413.
    pub body_bytes_max: usize,
    /// The request line and headers together.
    pub header_bytes_max: usize,
    pub headers_max: usize,
    /// Answers from this size on are compressed when the client takes gzip.
    pub gzip_bytes_min: usize,
    pub connections_max: usize,
    /// Requests that may wait for the program's answer; more are answered with 429.
    pub waiting_max: usize,
    /// All bodies in memory together; half as much again for those of clients without a certificate.
    pub bodies_bytes_max: usize,
    /// An idle connection, or one that does not finish its request's head, is closed.
    pub idle: Duration,
    /// A TLS handshake.
    pub handshake: Duration,
    /// Between two pieces of a request's body.
    pub body_pause: Duration,
    /// Events and their bytes that may wait for one watcher.
    pub watch_events_max: usize,
    pub watch_bytes_max: usize,
    /// Threads that give events to watchers.
    pub fan_threads: usize,
    /// How often a watcher that asked for bookmarks gets one.
    pub bookmark: Duration,
    /// How long an allow decision is believed.
    pub allow: Duration,
    /// Objects kept in memory for reads.
    pub state_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 3 << 20,
            header_bytes_max: 64 << 10,
            headers_max: 128,
            gzip_bytes_min: 128 << 10,
            connections_max: 20_000,
            waiting_max: 4_000,
            bodies_bytes_max: 128 << 20,
            idle: Duration::from_secs(90),
            handshake: Duration::from_secs(30),
            body_pause: Duration::from_secs(30),
            watch_events_max: 2048,
            watch_bytes_max: 16 << 20,
            fan_threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            bookmark: Duration::from_secs(60),
            allow: Duration::from_secs(10),
            state_bytes_max: 512 << 20,
        }
    }
}
