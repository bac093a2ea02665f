//! Whether a failed attempt may be repeated. Pure.
use http::Method;

use crate::table::Policy;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The application saw nothing of it: no connection, not sent, refused stream, GOAWAY.
    Unprocessed,
    /// The connection or stream broke before an answer; the application may have acted.
    Reset,
    /// The attempt took too long; the application may have acted.
    TryTimeout,
    /// The application answered 503.
    Unavailable,
}

/// Whether repeating a request has the same effect as making it once (RFC 9110, 9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// The decision. What nobody processed is always repeated; the rest only when asked for and safe.
#[must_use]
pub fn may_retry(failed: Failed, method: &Method, policy: &Policy) -> bool {
    match failed {
        Failed::Unprocessed => true,
        Failed::Reset | Failed::TryTimeout => policy.on_reset && is_idempotent(method),
        Failed::Unavailable => policy.on_unavailable && is_idempotent(method),
    }
}

/// What an error of the HTTP client says about the fate of the request.
#[must_use]
pub fn classify(error: &hyper::Error, unsent: bool) -> Failed {
    if unsent {
        return Failed::Unprocessed;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            // Streams above the last one that the peer's GOAWAY names were never looked at.
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            if h2.is_remote() && (h2.is_go_away() || refused) {
                return Failed::Unprocessed;
            }
        }
        source = cause.source();
    }
    Failed::Reset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_processed_is_not_repeated() {
        let all = Policy {
            on_reset: true,
            on_unavailable: true,
            ..Policy::default()
        };
        assert!(may_retry(
            Failed::Unprocessed,
            &Method::POST,
            &Policy::default()
        ));
        for failed in [Failed::Reset, Failed::TryTimeout, Failed::Unavailable] {
            assert!(!may_retry(failed, &Method::POST, &all));
            assert!(may_retry(failed, &Method::PUT, &all));
            assert!(!may_retry(failed, &Method::GET, &Policy::default()));
        }
    }
}
