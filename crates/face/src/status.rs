//! `metav1.Status` of what is refused before the program sees it.
use bytes::Bytes;

fn failure(code: u16, reason: &str, message: &str) -> Bytes {
    // Every text is a constant of this crate that needs no escapes.
    Bytes::from(format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}"#
    ))
}

/// 413.
pub(crate) fn too_large(limit: usize) -> Bytes {
    let message = format!("Request entity too large: limit is {limit}");
    failure(413, "RequestEntityTooLarge", &message)
}

/// 429: more requests wait than may.
pub(crate) fn too_many() -> Bytes {
    let message = "Too many requests, please try again later.";
    failure(429, "TooManyRequests", message)
}

/// 400: the body ended early or did not come.
pub(crate) fn broken_body() -> Bytes {
    failure(400, "BadRequest", "the body of the request did not arrive")
}

/// 400: it is not plain where the body ends.
pub(crate) fn odd_framing() -> Bytes {
    failure(400, "BadRequest", "unsupported transfer encoding")
}

/// 503: the server stops.
pub(crate) fn stopping() -> Bytes {
    failure(503, "ServiceUnavailable", "the server is shutting down")
}
