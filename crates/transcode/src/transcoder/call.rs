//! One call: the request as gRPC, the response as JSON.
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, TE,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use prost::Message;

use super::stream::{ResponseBody, Source};
use super::{Binding, Format, Shared};
use crate::frame::{self, COMPRESSED, Frames};
use crate::json::{self, BodyTo, Failure, Input};
use crate::status::{GrpcStatus, http_status};

/// A request that was recognized as a call of a method.
#[derive(Debug)]
pub struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) binding: Arc<Binding>,
    pub(super) variables: Vec<String>,
    pub(super) query: String,
    pub(super) format: Format,
}

impl Call {
    /// `/package.Service/Method`: what routes by method look at.
    pub fn path(&self) -> &str {
        self.binding.path.as_str()
    }

    /// Whether the response is a stream.
    pub fn is_streaming(&self) -> bool {
        self.binding.method.is_server_streaming()
    }

    /// The request as gRPC: HTTP/2 `POST` to [`path`](Self::path), the whole body read and
    /// turned. Headers go along as metadata.
    ///
    /// # Errors
    /// What is wrong with the request; answer with [`Failure::response`].
    pub async fn request<B>(&self, parts: Parts, body: B) -> Result<Request<Full<Bytes>>, Failure>
    where
        B: Body<Data = Bytes>,
    {
        let takes_body = !matches!(self.binding.body_to, BodyTo::None);
        let body = if takes_body {
            check_type(&parts)?;
            collect(body, self.shared.options.max_request).await?
        } else {
            Bytes::new()
        };
        let input_type = self.binding.method.input();
        let variables = self.binding.variables.iter().zip(&self.variables);
        let input = Input {
            message: &input_type,
            body_to: &self.binding.body_to,
            variables: variables
                .map(|((path, _), text)| (&path[..], text.clone()))
                .collect(),
            query: &self.query,
            options: self.shared.options.json,
        };
        let several = self.binding.method.is_client_streaming();
        let messages = json::messages(&input, &body, several)?;
        let mut out = BytesMut::new();
        for message in messages {
            frame::put(&mut out, 0, &message.encode_to_vec());
        }
        let parts = self.parts(parts);
        Ok(Request::from_parts(parts, Full::new(out.freeze())))
    }

    fn parts(&self, mut parts: Parts) -> Parts {
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(self.binding.path.clone());
        parts.uri = Uri::from_parts(uri).unwrap_or_else(|_| self.binding.path.clone().into());
        parts.method = Method::POST;
        parts.version = Version::HTTP_2;
        let gone = [
            ACCEPT,
            ACCEPT_ENCODING,
            CONTENT_ENCODING,
            CONTENT_LENGTH,
            EXPECT,
            TRANSFER_ENCODING,
        ];
        for name in gone {
            parts.headers.remove(name);
        }
        // We do not decompress: upstreams must not believe that somebody does.
        parts.headers.remove("grpc-accept-encoding");
        let grpc = HeaderValue::from_static("application/grpc");
        parts.headers.insert(CONTENT_TYPE, grpc);
        parts
            .headers
            .insert(TE, HeaderValue::from_static("trailers"));
        parts
    }

    /// The response as JSON. Of a stream the first message is waited for, so that a call that
    /// fails at once has the HTTP status of its failure.
    pub async fn response<B>(&self, response: Response<B>) -> Response<ResponseBody<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = response.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let grpc = kind.is_some_and(|kind| kind.starts_with(b"application/grpc"));
        let early = match GrpcStatus::of(&parts.headers) {
            Some(status) => Some(status),
            None if parts.status != StatusCode::OK || !grpc => {
                Some(GrpcStatus::of_http(parts.status))
            }
            None => None,
        };
        let mut headers = parts.headers;
        clean(&mut headers);
        let source = Source {
            body: Some(body),
            frames: Frames::new(self.shared.options.max_message),
            end: early,
            trailers: HeaderMap::new(),
        };
        if self.is_streaming() {
            self.stream(headers, source).await
        } else {
            self.single(headers, source).await
        }
    }

    async fn single<B>(
        &self,
        mut headers: HeaderMap,
        mut source: Source<B>,
    ) -> Response<ResponseBody<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let mut first = None;
        let status = loop {
            match source.next().await {
                Ok(Ok(_)) if first.is_some() => {
                    break GrpcStatus::new(13, "the upstream answered with several messages");
                }
                Ok(Ok(message)) => first = Some(message),
                Ok(Err(status)) => break status,
                Err(failure) => break failure.into(),
            }
        };
        clean(&mut source.trailers);
        headers.extend(source.trailers);
        let printed = match (status.code, first) {
            (0, Some(message)) => self.print(message),
            (0, None) => Err(Failure::new(13, "the upstream answered without a message")),
            _ => return self.failed(headers, &status),
        };
        match printed {
            Ok(printed) => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(CONTENT_TYPE, printed.content_type.unwrap_or(json));
                whole(StatusCode::OK, headers, printed.body)
            }
            Err(failure) => self.failed(headers, &failure.into()),
        }
    }

    async fn stream<B>(
        &self,
        mut headers: HeaderMap,
        mut source: Source<B>,
    ) -> Response<ResponseBody<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let mut format = self.format;
        if json::is_http_body(&self.binding.method.output()) {
            format = Format::Raw;
        }
        let first = match source.next().await.map_err(GrpcStatus::from) {
            Ok(Ok(message)) => self.print(message).map(Some).map_err(GrpcStatus::from),
            Ok(Err(status)) if status.code == 0 => {
                source.end = Some(status);
                Ok(None)
            }
            Ok(Err(status)) | Err(status) => Err(status),
        };
        let first = match first {
            Ok(first) => first,
            Err(status) => return self.failed(headers, &status),
        };
        let kind = match format {
            Format::Array => HeaderValue::from_static("application/json"),
            Format::Lines => HeaderValue::from_static("application/x-ndjson"),
            Format::Events => HeaderValue::from_static("text/event-stream"),
            Format::Raw => first
                .as_ref()
                .and_then(|printed| printed.content_type.clone())
                .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")),
        };
        headers.insert(CONTENT_TYPE, kind);
        let first = first.map(|printed| printed.body);
        let body = ResponseBody::stream(source, self.printer(), format, first);
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }

    fn printer(&self) -> Printer {
        Printer {
            shared: Arc::clone(&self.shared),
            binding: Arc::clone(&self.binding),
        }
    }

    fn print(&self, message: Bytes) -> Result<json::Printed, Failure> {
        self.printer().print(message)
    }

    fn failed<B>(&self, mut headers: HeaderMap, status: &GrpcStatus) -> Response<ResponseBody<B>> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = status.json(&self.shared.pool).to_string();
        whole(http_status(status.code), headers, body.into())
    }
}

/// What prints the messages of a response.
#[derive(Debug)]
pub(super) struct Printer {
    shared: Arc<Shared>,
    binding: Arc<Binding>,
}

impl Printer {
    pub(super) fn print(&self, message: Bytes) -> Result<json::Printed, Failure> {
        let field = self.binding.response_field.as_ref();
        let output = self.binding.method.output();
        json::print(&output, field, message, self.shared.options.json)
    }

    pub(super) fn status(&self, status: &GrpcStatus) -> serde_json::Value {
        status.json(&self.shared.pool)
    }
}

fn whole<B>(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Response<ResponseBody<B>> {
    headers.insert(CONTENT_LENGTH, body.len().into());
    let mut response = Response::new(ResponseBody::whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Takes off what is about gRPC and the old body.
fn clean(headers: &mut HeaderMap) {
    let names = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING];
    for name in names.iter().map(http::HeaderName::as_str).chain([
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "grpc-encoding",
        "grpc-accept-encoding",
        "trailer",
    ]) {
        headers.remove(name);
    }
}

/// Refuses bodies that say they are not JSON, or compressed.
fn check_type(parts: &Parts) -> Result<(), Failure> {
    let unsupported =
        |why: String| Failure::new(3, why).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let text = |name| parts.headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(encoding) = text(CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(unsupported(format!(
            "content-encoding {encoding} is not supported"
        )));
    }
    let Some(kind) = text(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        Ok(())
    } else {
        Err(unsupported(format!(
            "the body is {kind}, not application/json"
        )))
    }
}

async fn collect<B: Body<Data = Bytes>>(body: B, limit: usize) -> Result<Bytes, Failure> {
    let too_long = || {
        Failure::new(8, format!("the body is longer than {limit} bytes"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_long());
    }
    let mut body = pin!(body);
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::new(3, "the body ended before its end"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if all.len() + data.len() > limit {
            return Err(too_long());
        }
        if all.is_empty() {
            all = data.into();
        } else {
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// Refuses a compressed message: nobody said we could read one.
pub(super) fn plain(message: frame::Frame) -> Result<Bytes, Failure> {
    if message.flags & COMPRESSED == 0 {
        Ok(message.payload)
    } else {
        Err(Failure::new(
            13,
            "the upstream's message is compressed, which was not offered",
        ))
    }
}
