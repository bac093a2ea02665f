//! What the host announces: its filters as their authors declared them, and files that failed.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All that the host has loaded.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Announcement {
    /// Grows with each change of the folder.
    pub generation: u64,
    /// In the order in which they run.
    pub filters: Vec<Declared>,
    /// Files that could not be loaded; their earlier version, if there is one, still runs.
    pub errors: Vec<FileError>,
}

/// One filter.
#[derive(Debug, Clone, Deserialize)]
pub struct Declared {
    /// Never used for another filter.
    pub id: u32,
    /// Differs between two versions of the same filter.
    pub version: u64,
    /// Unique among the filters.
    pub name: String,
    /// Where it comes from.
    pub file: String,
    /// `python` or `wasm`.
    pub kind: String,
    /// How long one hook may take, in milliseconds.
    pub timeout_ms: u64,
    /// What to do when it fails.
    pub on_error: OnError,
    /// Failures that are too many.
    pub budget: Budget,
    /// Any of these must hold.
    #[serde(rename = "match")]
    pub matches: Vec<Match>,
    /// The hooks that it defines.
    pub hooks: Vec<Hook>,
}

/// What a failed filter means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It goes on without the filter.
    Bypass,
    /// It is answered 500, 503 or 504.
    Refuse,
}

/// The moments at which a filter is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// The request's head.
    Request,
    /// The response's head.
    Response,
    /// Pieces of the request's body.
    RequestBody,
    /// Pieces of the response's body.
    ResponseBody,
}

/// After `errors` failures within `window_s` the filter is not asked for `open_s` (seconds).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Budget {
    /// 0: no failure is too many.
    pub errors: u32,
    /// Seconds.
    pub window_s: f64,
    /// Seconds.
    pub open_s: f64,
}

/// Predicates that must all hold; an empty one always does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Match {
    /// `a.example` or `*.example`.
    pub hosts: Vec<String>,
    /// `/a`, `/a/*` or `~expression`.
    pub paths: Vec<String>,
    /// In upper case.
    pub methods: Vec<String>,
    /// By name in lower case.
    pub headers: BTreeMap<String, HeaderTest>,
}

/// What must hold of a header.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum HeaderTest {
    /// It is present, or absent.
    Present(bool),
    /// `text`, `text*` or `~expression`.
    Text(String),
}

/// A file that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileError {
    /// The path.
    pub file: String,
    /// 0: no line is to blame.
    pub line: u32,
    /// Why.
    pub message: String,
}
