//! What is counted and logged when an answer ends, also when it is cut off.
use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body::Frame;

use super::attempt::Hold;
use crate::{
    accesslog,
    drain::Active,
    plane::shared::Shared,
    record::Record,
    routing::rule::Rule,
    upstream::{Cluster, Endpoint, outlier::Answer},
};

/// Facts of one request; nothing in it was copied to be here.
pub struct Facts {
    pub started: Instant,
    pub method: Method,
    pub uri: Uri,
    pub host: Option<HeaderValue>,
    pub request_id: Option<HeaderValue>,
    pub rule: Option<Arc<Rule>>,
    pub cluster: Option<Arc<Cluster>>,
    pub endpoint: Option<Arc<Endpoint>>,
    /// Who the client proved to be.
    pub identity: Option<Arc<str>>,
    /// The endpoint's answer is the client's, and what it is worth is to be noted at its end.
    pub judged_at_end: bool,
    pub status: u16,
    pub retries: u32,
    pub flags: &'static str,
}

/// Runs at the end of an answer.
pub struct Finish {
    shared: Arc<Shared>,
    facts: Facts,
    bytes: u64,
    complete: bool,
    grpc: Option<u32>,
    _hold: Option<Hold>,
    _active: Active,
}

impl Finish {
    /// To be attached to the answer's body.
    #[must_use]
    pub fn new(shared: Arc<Shared>, facts: Facts, hold: Option<Hold>, active: Active) -> Box<Self> {
        Box::new(Self {
            shared,
            facts,
            bytes: 0,
            complete: false,
            grpc: None,
            _hold: hold,
            _active: active,
        })
    }

    /// Counts a frame, and looks at its gRPC status.
    pub fn saw(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            self.saw_status(trailers);
        }
    }

    /// Looks for a gRPC status: in trailers, or in the head of an answer that is only trailers.
    pub fn saw_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.grpc = status.to_str().ok().and_then(|text| text.parse().ok());
        }
    }

    /// Adds bytes that did not come as frames.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// The answer was sent whole.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    fn log(&self, seconds: f64) {
        let facts = &self.facts;
        let text = |value: &Option<HeaderValue>| {
            value
                .as_ref()
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let mut record = Record::new("gateway");
        record.method = facts.method.clone();
        record.path = facts.uri.path().to_owned();
        record.host = facts
            .uri
            .authority()
            .map_or_else(|| text(&facts.host), ToString::to_string);
        record.status = facts.status;
        record.bytes = self.bytes;
        if let Some(cluster) = &facts.cluster {
            record.service = Arc::clone(&cluster.name);
        } else if let Some(rule) = &facts.rule {
            record.service = Arc::clone(&rule.label);
        }
        if let Some(endpoint) = &facts.endpoint {
            record.upstream = endpoint.address.to_string();
        }
        record.request_id.clone_from(&facts.request_id);
        if let Some(identity) = &facts.identity {
            record.peer = Arc::clone(identity);
        }
        record.retries = facts.retries;
        record.flags = facts.flags;
        let line = accesslog::Line::new("gateway", &record, seconds);
        self.shared.log.write(&line);
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        let facts = &mut self.facts;
        if !self.complete && facts.flags.is_empty() {
            facts.flags = "cut_off";
        }
        let took = facts.started.elapsed();
        match &facts.rule {
            Some(rule) => rule.series.count(facts.status, took),
            None => self.shared.unrouted.count(facts.status, took),
        }
        if let (true, Some(cluster), Some(endpoint)) =
            (facts.judged_at_end, &facts.cluster, &facts.endpoint)
        {
            let answer = match self.grpc {
                Some(code) => Answer::of_grpc(code),
                None => Answer::of_status(facts.status),
            };
            cluster.answered(endpoint, answer, self.shared.state.now_ms());
        }
        if self.shared.log.enabled() {
            self.log(took.as_secs_f64());
        }
    }
}
