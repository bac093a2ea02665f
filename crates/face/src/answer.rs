//! What the program answers.
use std::{os::unix::net::UnixStream, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::stream::Stream;

/// Status and headers of an answer.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The headers; what cannot stand in one is left out.
    pub(crate) fn map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.headers.len() + 6);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        map
    }
}

/// One answer, of one of three forms.
#[derive(Debug)]
pub(crate) enum Answer {
    Whole(Head, Bytes),
    Stream(Head, Arc<Stream>),
    /// 101, then the connection's bytes go to and from the socket.
    Upgrade(Head, UnixStream),
}
