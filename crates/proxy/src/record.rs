//! What is noted about one request, from its start to the last byte of its answer.
use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body::Frame;

use crate::{accesslog, drain::Active, proxy::Proxy};

/// Facts of one request or tunnel; written to log and metrics by [`Finish`].
pub struct Record {
    pub started: Instant,
    pub direction: &'static str,
    pub method: Method,
    pub path: String,
    pub host: String,
    pub status: u16,
    pub bytes: u64,
    pub service: Arc<str>,
    pub upstream: String,
    /// Identity of the mesh peer, empty outside the mesh.
    pub peer: Arc<str>,
    pub request_id: Option<HeaderValue>,
    pub retries: u32,
    pub flags: &'static str,
}

impl Record {
    #[must_use]
    pub fn new(direction: &'static str) -> Self {
        Self {
            started: Instant::now(),
            direction,
            method: Method::GET,
            path: String::new(),
            host: String::new(),
            status: 0,
            bytes: 0,
            service: Arc::from(""),
            upstream: String::new(),
            peer: Arc::from(""),
            request_id: None,
            retries: 0,
            flags: "",
        }
    }
}

/// Something that a request holds until its answer is over, e.g. a place on a connection.
pub trait Hold: Send + Sync {
    /// The answer came to its end: what is held can be used again.
    fn completed(&mut self) {}
}

/// Runs at the end of an answer, also when it is cut off.
pub struct Finish {
    proxy: Arc<Proxy>,
    record: Record,
    hold: Option<Box<dyn Hold>>,
    complete: bool,
    _active: Active,
}

impl Finish {
    #[must_use]
    pub fn new(
        proxy: Arc<Proxy>,
        record: Record,
        hold: Option<Box<dyn Hold>>,
        active: Active,
    ) -> Self {
        Self {
            proxy,
            record,
            hold,
            complete: false,
            _active: active,
        }
    }

    /// Counts the bytes of a frame.
    pub fn saw(&mut self, frame: &Frame<Bytes>) {
        self.record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }

    /// Adds bytes that did not come as frames.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.record.bytes += bytes;
    }

    /// The answer was sent whole.
    pub fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        if self.complete {
            if let Some(hold) = self.hold.as_mut() {
                hold.completed();
            }
        } else if self.record.flags.is_empty() {
            self.record.flags = "cut_off";
        }
        let seconds = self.record.started.elapsed().as_secs_f64();
        self.proxy.metrics.request(&self.record, seconds);
        if self.proxy.log.enabled() {
            self.proxy.log.write(&accesslog::Line::new(
                self.proxy.boot.role.name(),
                &self.record,
                seconds,
            ));
        }
    }
}
