//! Probes of the application on the pod's loopback, for the node agent.
use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::forward::describe;

const MAX_BODY: usize = 4096;

/// The kinds of probe.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Http,
    Tcp,
    Grpc,
}

/// What to probe.
#[derive(Debug, Clone, Deserialize)]
pub struct Probe {
    #[serde(rename = "type")]
    kind: Kind,
    port: u16,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// What it found.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    pub ok: bool,
    pub status: Option<u16>,
    pub message: String,
}

impl Found {
    fn failed(message: impl Into<String>) -> Self {
        Self {
            ok: false,
            status: None,
            message: message.into(),
        }
    }
}

/// Reads a probe from the body of `POST /probe` and runs it; never fails, only says no.
pub async fn run(body: &[u8]) -> Found {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let probe: Probe = match serde_path_to_error::deserialize(&mut reader) {
        Ok(probe) => probe,
        Err(error) => {
            return Found::failed(format!("bad probe: {}: {}", error.path(), error.inner()));
        }
    };
    let limit = Duration::from_millis(probe.timeout_ms.unwrap_or(1000).max(1));
    let work = async {
        match probe.kind {
            Kind::Tcp => tcp(&probe).await,
            Kind::Http => http(&probe).await,
            Kind::Grpc => grpc(&probe).await,
        }
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(found)) => found,
        Ok(Err(message)) => Found::failed(message),
        Err(_) => Found::failed(format!("no answer within {} ms", limit.as_millis())),
    }
}

async fn connect(probe: &Probe) -> Result<TcpStream, String> {
    TcpStream::connect(("127.0.0.1", probe.port))
        .await
        .map_err(|error| format!("port {}: {error}", probe.port))
}

async fn tcp(probe: &Probe) -> Result<Found, String> {
    connect(probe).await?;
    Ok(Found {
        ok: true,
        status: None,
        message: format!("port {} is open", probe.port),
    })
}

async fn http(probe: &Probe) -> Result<Found, String> {
    let path = probe
        .path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/");
    let uri: Uri = path
        .parse()
        .map_err(|_| format!("path: {path:?} is not valid"))?;
    let host = probe
        .host
        .clone()
        .unwrap_or_else(|| format!("127.0.0.1:{}", probe.port));
    let mut request = Request::get(uri)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "cloudwright-probe")
        .header(header::CONNECTION, "close");
    for (name, value) in probe.headers.iter().flatten() {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::<Bytes>::default())
        .map_err(|error| format!("headers: {error}"))?;
    let stream = connect(probe).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| describe(&error))?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| describe(&error))?;
    let status = response.status();
    let ok = status.is_success() || status.is_redirection();
    let mut message = format!("HTTP {status}");
    if !ok {
        let text = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let text = text
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            message = format!("{message}: {}", text.chars().take(200).collect::<String>());
        }
    }
    Ok(Found {
        ok,
        status: Some(status.as_u16()),
        message,
    })
}

async fn grpc(probe: &Probe) -> Result<Found, String> {
    let service = probe.service.as_deref().unwrap_or_default();
    let uri = format!(
        "http://127.0.0.1:{}/grpc.health.v1.Health/Check",
        probe.port
    );
    let request = Request::post(uri)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(check_request(service)?))
        .map_err(|error| error.to_string())?;
    let stream = connect(probe).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| describe(&error))?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| describe(&error))?;
    let status = response.status().as_u16();
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let code = trailers
        .get("grpc-status")
        .or_else(|| parts.headers.get("grpc-status"));
    let code = code
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none")
        .to_owned();
    if code != "0" {
        let message = format!("health check answered grpc-status {code}");
        return Ok(Found {
            ok: false,
            status: Some(status),
            message,
        });
    }
    let serving = serving_status(&body.to_bytes());
    let name = match serving {
        Some(1) => "SERVING",
        Some(2) => "NOT_SERVING",
        Some(3) => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    };
    Ok(Found {
        ok: serving == Some(1),
        status: Some(status),
        message: name.to_owned(),
    })
}

/// `grpc.health.v1.HealthCheckRequest{service}` with gRPC's five-byte prefix.
fn check_request(service: &str) -> Result<Bytes, String> {
    let length = u8::try_from(service.len())
        .ok()
        .filter(|length| *length < 128)
        .ok_or("service: longer than 127 characters")?;
    let mut message = BytesMut::new();
    if length > 0 {
        message.extend_from_slice(&[0x0a, length]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = BytesMut::from(&[0, 0, 0, 0][..]);
    framed.extend_from_slice(&[u8::try_from(message.len()).unwrap_or(0)]);
    framed.extend_from_slice(&message);
    Ok(framed.freeze())
}

/// The `status` field of a framed `HealthCheckResponse`; absent means 0 (UNKNOWN).
fn serving_status(framed: &[u8]) -> Option<u8> {
    let length = u32::from_be_bytes(framed.get(1..5)?.try_into().ok()?);
    let message = framed.get(5..5 + usize::try_from(length).ok()?)?;
    match message {
        [] => Some(0),
        [0x08, status, ..] => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_messages() {
        assert_eq!(&check_request("").unwrap()[..], [0, 0, 0, 0, 0]);
        assert_eq!(
            &check_request("a").unwrap()[..],
            [0, 0, 0, 0, 3, 0x0a, 1, b'a']
        );
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(serving_status(&[0, 0, 0, 0, 9, 8, 1]), None);
    }

    #[tokio::test]
    async fn a_bad_probe_names_its_field() {
        let found = run(br#"{"type":"http","port":"x"}"#).await;
        assert!(!found.ok && found.message.contains("port"), "{found:?}");
    }
}
