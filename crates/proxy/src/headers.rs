//! Header rules: request ids, mesh headers, hop-by-hop fields. Pure but for the random id.
use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const MESH_NS: HeaderName = HeaderName::from_static("x-mesh-ns");
pub const MESH_SIDECAR: HeaderName = HeaderName::from_static("x-mesh-sidecar");
/// Set by a sidecar on a 503 when the application saw nothing of the request.
pub const UNPROCESSED: HeaderName = HeaderName::from_static("x-mesh-unprocessed");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a caller's request id may be kept: 8 to 128 plain characters.
#[must_use]
pub fn well_formed_id(value: &[u8]) -> bool {
    (8..=128).contains(&value.len())
        && value
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

/// A UUID version 7 from the wall clock and a process-local generator; no system call.
#[must_use]
pub fn new_request_id() -> String {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    let millis = u64::try_from(millis).unwrap_or(0) & 0xffff_ffff_ffff;
    let (a, b) = (fastrand::u16(..) & 0x0fff, fastrand::u64(..));
    format!(
        "{:08x}-{:04x}-7{a:03x}-{:04x}-{:012x}",
        millis >> 16,
        millis & 0xffff,
        (b >> 48) & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}

/// Keeps a well-formed `x-request-id` or sets a new one; returns it.
pub fn ensure_request_id(headers: &mut HeaderMap) -> HeaderValue {
    match headers.get(&REQUEST_ID) {
        Some(value) if well_formed_id(value.as_bytes()) => value.clone(),
        _ => {
            let id = HeaderValue::from_str(&new_request_id())
                .unwrap_or_else(|_| HeaderValue::from_static("00000000"));
            headers.insert(REQUEST_ID, id.clone());
            id
        }
    }
}

/// Removes fields that belong to one connection only; `te: trailers` stays.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named {
        if name != header::TE {
            headers.remove(&name);
        }
    }
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(&name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if let Some(te) = headers.get(header::TE) {
        let trailers = te.to_str().is_ok_and(|value| {
            value
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case("trailers"))
        });
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(header::TE);
        }
    }
}

/// Removes every `x-mesh-*` field: what an outsider sends under these names is forged.
pub fn remove_mesh(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-mesh-"))
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

/// Sets namespace and name of the pod whose proxy this is.
pub fn set_mesh(headers: &mut HeaderMap, namespace: &HeaderValue, sidecar: &HeaderValue) {
    headers.insert(MESH_NS, namespace.clone());
    headers.insert(MESH_SIDECAR, sidecar.clone());
}

/// Adds `x-forwarded-for` and replaces `-proto` and `-host` with what this edge saw.
pub fn set_forwarded(
    headers: &mut HeaderMap,
    peer: Option<IpAddr>,
    proto: &'static str,
    host: &str,
) {
    if let Some(peer) = peer {
        let chain = match headers
            .get(&FORWARDED_FOR)
            .and_then(|value| value.to_str().ok())
        {
            Some(before) => format!("{before}, {peer}"),
            None => peer.to_string(),
        };
        if let Ok(value) = HeaderValue::from_str(&chain) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    if let Ok(value) = HeaderValue::from_str(host) {
        headers.insert(FORWARDED_HOST, value);
    }
}

/// Whether the content type is gRPC.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Whether an HTTP/1.1 request asks for another protocol.
#[must_use]
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && headers.get_all(header::CONNECTION).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value
                    .split(',')
                    .any(|one| one.trim().eq_ignore_ascii_case("upgrade"))
            })
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_well_formed_and_differ() {
        let (one, two) = (new_request_id(), new_request_id());
        assert_ne!(one, two);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'7'));
        assert!(well_formed_id(one.as_bytes()));
    }

    #[test]
    fn a_bad_id_is_replaced_and_a_good_one_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("has space in it"));
        assert_ne!(ensure_request_id(&mut headers), "has space in it");
        headers.insert(REQUEST_ID, HeaderValue::from_static("abcdef-1234"));
        assert_eq!(ensure_request_id(&mut headers), "abcdef-1234");
    }

    #[test]
    fn hop_by_hop_fields_go_and_te_trailers_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-secret, keep-alive"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip, trailers"),
            ("traceparent", "00-1-2-01"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["te", "traceparent"]);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn forged_mesh_fields_go() {
        let mut headers = HeaderMap::new();
        headers.insert(MESH_NS, HeaderValue::from_static("kube-system"));
        headers.insert(UNPROCESSED, HeaderValue::from_static("1"));
        remove_mesh(&mut headers);
        assert!(headers.is_empty());
    }

    proptest! {
        #[test]
        fn only_plain_ids_are_kept(value in prop::collection::vec(any::<u8>(), 0..140)) {
            if well_formed_id(&value) {
                prop_assert!(value.len() >= 8 && value.iter().all(u8::is_ascii_graphic));
                prop_assert!(HeaderValue::from_bytes(&value).is_ok());
            }
        }
    }
}
