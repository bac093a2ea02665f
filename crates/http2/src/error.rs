//! What went wrong, at which end, and whether a request may be sent again.

use std::{fmt, io};

use crate::Reason;

/// Who ended a stream or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    /// The code that uses this crate.
    User,
    /// This crate, because the peer broke a rule.
    Library,
    /// The peer.
    Remote,
}

/// An error of a stream or of a connection.
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    unprocessed: bool,
    cause: &'static str,
}

#[derive(Debug, Clone)]
enum Kind {
    Reset(Reason, Initiator),
    GoAway(Reason, Initiator),
    Io(io::ErrorKind),
    User,
}

impl Error {
    pub(crate) fn reset(reason: Reason, initiator: Initiator, cause: &'static str) -> Self {
        let unprocessed = reason == Reason::REFUSED_STREAM;
        Self {
            kind: Kind::Reset(reason, initiator),
            unprocessed,
            cause,
        }
    }

    pub(crate) fn go_away(reason: Reason, initiator: Initiator, cause: &'static str) -> Self {
        Self {
            kind: Kind::GoAway(reason, initiator),
            unprocessed: false,
            cause,
        }
    }

    pub(crate) fn io(error: &io::Error) -> Self {
        Self::io_kind(error.kind(), "io")
    }

    pub(crate) fn io_kind(kind: io::ErrorKind, cause: &'static str) -> Self {
        Self {
            kind: Kind::Io(kind),
            unprocessed: false,
            cause,
        }
    }

    /// The caller did what the state does not allow; nothing was sent.
    pub(crate) fn user(cause: &'static str) -> Self {
        Self {
            kind: Kind::User,
            unprocessed: true,
            cause,
        }
    }

    pub(crate) fn not_processed(mut self) -> Self {
        self.unprocessed = true;
        self
    }

    /// The error code, where the protocol said one.
    pub fn reason(&self) -> Option<Reason> {
        match self.kind {
            Kind::Reset(reason, _) | Kind::GoAway(reason, _) => Some(reason),
            Kind::Io(_) | Kind::User => None,
        }
    }

    /// Whether the request was surely not processed by the peer, so that it may be sent again
    /// even where its method is not idempotent: REFUSED_STREAM, a stream above the last one of a
    /// GOAWAY, or a request that never left this end.
    pub fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    /// One short word for counters and logs, e.g. `rapid_reset`; bounded in number.
    pub fn cause(&self) -> &'static str {
        self.cause
    }

    /// Whether the stream alone was reset.
    pub fn is_reset(&self) -> bool {
        matches!(self.kind, Kind::Reset(..))
    }

    /// Whether the connection ended by a GOAWAY.
    pub fn is_go_away(&self) -> bool {
        matches!(self.kind, Kind::GoAway(..))
    }

    /// Whether the transport failed or ended.
    pub fn is_io(&self) -> bool {
        matches!(self.kind, Kind::Io(_))
    }

    /// Whether the caller misused a handle.
    pub fn is_user(&self) -> bool {
        matches!(self.kind, Kind::User)
    }

    /// Whether the peer sent the reset or GOAWAY.
    pub fn is_remote(&self) -> bool {
        self.initiator() == Some(Initiator::Remote)
    }

    /// Whether this crate ended the stream or connection because the peer broke a rule.
    pub fn is_library(&self) -> bool {
        self.initiator() == Some(Initiator::Library)
    }

    /// Who ended it, where a reset or GOAWAY did.
    pub fn initiator(&self) -> Option<Initiator> {
        match self.kind {
            Kind::Reset(_, initiator) | Kind::GoAway(_, initiator) => Some(initiator),
            Kind::Io(_) | Kind::User => None,
        }
    }

    /// The kind of the transport's error, where that was it.
    pub fn io_error_kind(&self) -> Option<io::ErrorKind> {
        match self.kind {
            Kind::Io(kind) => Some(kind),
            _ => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("cause", &self.cause)
            .field("unprocessed", &self.unprocessed)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |initiator: &Initiator| match initiator {
            Initiator::User => "by this end",
            Initiator::Library => "by this end, which found a fault in the peer",
            Initiator::Remote => "by the peer",
        };
        match &self.kind {
            Kind::Reset(reason, who) => write!(f, "stream reset {}: {reason}", by(who))?,
            Kind::GoAway(reason, who) => write!(f, "connection closed {}: {reason}", by(who))?,
            Kind::Io(kind) => write!(f, "connection failed: {kind}")?,
            Kind::User => write!(f, "wrong use of a stream")?,
        }
        write!(f, " ({})", self.cause)
    }
}

impl std::error::Error for Error {}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::reset(reason, Initiator::User, "user")
    }
}

/// What ends a whole connection: the code for the GOAWAY, and the word for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fatal {
    pub(crate) reason: Reason,
    pub(crate) cause: &'static str,
}

impl Fatal {
    pub(crate) fn protocol(cause: &'static str) -> Self {
        Self {
            reason: Reason::PROTOCOL_ERROR,
            cause,
        }
    }

    pub(crate) fn size(cause: &'static str) -> Self {
        Self {
            reason: Reason::FRAME_SIZE_ERROR,
            cause,
        }
    }

    pub(crate) fn flow(cause: &'static str) -> Self {
        Self {
            reason: Reason::FLOW_CONTROL_ERROR,
            cause,
        }
    }

    pub(crate) fn flood(cause: &'static str) -> Self {
        Self {
            reason: Reason::ENHANCE_YOUR_CALM,
            cause,
        }
    }
}
