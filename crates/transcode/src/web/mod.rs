//! gRPC-Web, binary and text, to gRPC and back: the same messages, with the trailers as a last
//! message in the body, because browsers cannot read trailers.
//!
//! | module | concept |
//! | --- | --- |
//! | `body` | the bodies, both ways |
//! | `text` | base64 as it comes in pieces |
//! | `cors` | which pages of other origins may call |
mod body;
mod cors;
mod text;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::request;
use http::response;
use http::{HeaderMap, HeaderValue, Version};

pub use body::{RequestBody, ResponseBody, WebError};
pub use cors::{Cors, CorsPolicy};

/// Which gRPC-Web a request speaks; its answer has to speak the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    text: bool,
    /// `+proto`, `+json` or nothing.
    suffix: String,
}

const BINARY: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";

impl Web {
    /// Read from the content type of a request. None: not gRPC-Web.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next()?.trim().to_ascii_lowercase();
        // The longer name first: it begins with the shorter one.
        let (text, suffix) = match (kind.strip_prefix(TEXT), kind.strip_prefix(BINARY)) {
            (Some(suffix), _) => (true, suffix),
            (None, Some(suffix)) => (false, suffix),
            (None, None) => return None,
        };
        (suffix.is_empty() || suffix.starts_with('+')).then(|| Self {
            text,
            suffix: suffix.to_owned(),
        })
    }

    /// The request as gRPC over HTTP/2.
    pub fn request<B>(
        &self,
        mut parts: request::Parts,
        body: B,
    ) -> (request::Parts, RequestBody<B>) {
        parts.version = Version::HTTP_2;
        parts.headers.remove(CONTENT_LENGTH);
        self.set_type(&mut parts.headers, "application/grpc");
        parts
            .headers
            .insert(TE, HeaderValue::from_static("trailers"));
        (parts, RequestBody::new(body, self.text))
    }

    /// The response as gRPC-Web. An answer that is only trailers keeps them as headers, where
    /// clients of gRPC-Web look for them first. One that is no gRPC at all is left as it is.
    pub fn response<B>(
        &self,
        mut parts: response::Parts,
        body: B,
    ) -> (response::Parts, ResponseBody<B>) {
        let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            return (parts, ResponseBody::untouched(body));
        }
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove("trailer");
        self.set_type(&mut parts.headers, if self.text { TEXT } else { BINARY });
        (parts, ResponseBody::new(body, self.text))
    }

    fn set_type(&self, headers: &mut HeaderMap, kind: &str) {
        let value = HeaderValue::from_str(&format!("{kind}{}", self.suffix));
        let plain = || HeaderValue::from_static("application/grpc");
        headers.insert(CONTENT_TYPE, value.unwrap_or_else(|_| plain()));
    }
}

#[cfg(test)]
mod tests;
