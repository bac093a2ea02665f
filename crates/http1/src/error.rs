//! Why a message is refused or a connection ends.

use std::io;

use http::StatusCode;

/// An error of a body that somebody else made.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer broke the protocol or a limit.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The peer closed before the message was complete.
    #[error("the peer closed within a message")]
    Truncated,
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    /// The body to send failed; what was sent of it cannot be taken back.
    #[error("body to send: {0}")]
    Body(BoxError),
    /// The body to send is longer or shorter than its content-length.
    #[error("body to send does not have the length of its content-length")]
    Length,
    /// The connection was closed, upgraded or is at another request by now.
    #[error("the connection is gone")]
    Gone,
}

impl Error {
    /// The status that answers it, when the peer is to blame and may still be answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Fault(fault) => Some(fault.status()),
            _ => None,
        }
    }

    /// One word for a counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.reason(),
            Self::Truncated => "truncated",
            Self::Io(_) => "socket",
            Self::Body(_) => "body",
            Self::Length => "length",
            Self::Gone => "gone",
        }
    }
}

macro_rules! faults {
    ($($name:ident $status:literal $word:literal $text:literal)*) => {
        /// What is wrong with a message, with the status of RFC 9110/9112 that answers it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Fault {
            $(#[doc = $text] #[error($text)] $name,)*
        }

        impl Fault {
            /// All of them, for a counter that is to start at zero.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            const fn code(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One word for a counter.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

faults! {
    BareLf 400 "bare-lf" "a line ends with LF alone"
    EmptyLines 400 "empty-lines" "empty lines instead of a start line"
    StartLine 400 "start-line" "the start line is malformed"
    Method 400 "method" "the method is not a token"
    Target 400 "target" "the request target is malformed"
    Version 505 "version" "the version is not HTTP/1.0 or HTTP/1.1"
    FieldName 400 "field-name" "a field name is not a token followed by a colon"
    FieldValue 400 "field-value" "a field value has a control character"
    FieldFold 400 "field-fold" "a field goes on in the next line"
    FieldCount 431 "field-count" "too many header fields"
    HeadSize 431 "head-size" "the head is too large"
    TargetSize 414 "target-size" "the request target is too long"
    HostMissing 400 "host-missing" "no host field"
    HostMany 400 "host-many" "more than one host field"
    HostValue 400 "host-value" "the host field is malformed"
    HostMismatch 400 "host-mismatch" "the host field is not the authority of the target"
    LengthMany 400 "length-many" "more than one content-length"
    LengthValue 400 "length-value" "the content-length is not a number"
    LengthAndCoding 400 "length-and-coding" "content-length and transfer-encoding together"
    CodingMany 400 "coding-many" "more than one transfer-encoding"
    CodingUnknown 501 "coding-unknown" "the transfer-encoding is not exactly chunked"
    CodingVersion 400 "coding-version" "transfer-encoding in HTTP/1.0"
    ConnectionOption 400 "connection-option" "the connection field names a field of framing"
    ConnectBody 400 "connect-body" "CONNECT with a body"
    ChunkSize 400 "chunk-size" "a chunk size is malformed"
    ChunkExtension 400 "chunk-extension" "a chunk extension is malformed or too long"
    ChunkEnd 400 "chunk-end" "a chunk is not followed by CRLF"
    Trailer 400 "trailer" "a trailer field is malformed or not allowed"
    TrailerSize 400 "trailer-size" "the trailer section is too large"
    BodySize 413 "body-size" "the body is too large"
    HeadTimeout 408 "head-timeout" "the head did not come in time"
    BodyTimeout 408 "body-timeout" "the body did not come in time"
    Interim 502 "interim" "too many interim responses"
    Switched 502 "switched" "101 without a request to upgrade"
}

impl Fault {
    /// The status that answers it.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.code()).unwrap_or(StatusCode::BAD_REQUEST)
    }
}
