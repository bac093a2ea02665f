//! What can be wrong with bytes that should be an object.

/// Why a body cannot be read or written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The bytes are no protobuf, or are cut short.
    #[error("{0}")]
    Malformed(&'static str),
    /// Messages in messages in messages …
    #[error("the message is nested too deeply")]
    TooDeep,
    /// The table has no such type: a kind that has no protobuf.
    #[error("{0} is not known in protobuf: send JSON")]
    Unknown(String),
    /// The text is not JSON.
    #[error("{0}")]
    Json(String),
    /// A value has a wrong type; in the words of Go.
    #[error("{0}")]
    Type(String),
    /// The table itself cannot be read.
    #[error("the table of types is damaged at {0}")]
    Table(String),
}
