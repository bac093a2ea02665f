//! Error codes (RFC 9113 section 7).

use std::fmt;

/// Why a stream or a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u32);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The RFC's words for this code.
            pub fn description(&self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "an unknown code",
                }
            }
        }

        impl fmt::Debug for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($code => f.write_str(stringify!($name)),)*
                    other => write!(f, "Reason({other:#x})"),
                }
            }
        }
    };
}

reasons! {
    /// No error.
    NO_ERROR = 0, "not a result of an error";
    /// The peer broke the protocol.
    PROTOCOL_ERROR = 1, "unspecific protocol error detected";
    /// This end failed.
    INTERNAL_ERROR = 2, "unexpected internal error encountered";
    /// The peer sent more than it was allowed.
    FLOW_CONTROL_ERROR = 3, "flow-control protocol violated";
    /// SETTINGS were not acknowledged in time.
    SETTINGS_TIMEOUT = 4, "settings acknowledgement not received in time";
    /// A frame on a stream that is half closed.
    STREAM_CLOSED = 5, "received frame when stream half-closed";
    /// A frame of a wrong size.
    FRAME_SIZE_ERROR = 6, "frame with invalid size";
    /// Refused before any processing: safe to try again.
    REFUSED_STREAM = 7, "refused stream before processing any application logic";
    /// No longer wanted.
    CANCEL = 8, "stream no longer needed";
    /// The header compression state is lost.
    COMPRESSION_ERROR = 9, "unable to maintain the header compression context";
    /// The connection of a CONNECT request was reset.
    CONNECT_ERROR = 10, "connection established by CONNECT was reset or closed";
    /// The peer behaves in a way that costs too much.
    ENHANCE_YOUR_CALM = 11, "detected excessive load generating behavior";
    /// The transport is not safe enough.
    INADEQUATE_SECURITY = 12, "security properties do not meet minimum requirements";
    /// Use HTTP/1.1 instead.
    HTTP_1_1_REQUIRED = 13, "endpoint requires HTTP/1.1";
}

impl From<u32> for Reason {
    fn from(code: u32) -> Self {
        Self(code)
    }
}

impl From<Reason> for u32 {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}
