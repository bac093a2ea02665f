//! What keeps a client at an endpoint: the hash of a header, query parameter, address or cookie.
use std::net::IpAddr;

use cloudwright_config::policy::HashKey;
use http::{HeaderValue, header, request::Parts};

use super::exchange::Client;
use crate::upstream::hashing::hash;

/// The hash of the first key that is there, and a cookie to set when it was made here.
#[must_use]
pub fn hash_key(
    client: &Client,
    keys: &[HashKey],
    parts: &Parts,
) -> (Option<u64>, Option<HeaderValue>) {
    for key in keys {
        let found = match key {
            HashKey::Header(name) => parts
                .headers
                .get(&**name)
                .map(|value| hash(value.as_bytes())),
            HashKey::Query(name) => parts
                .uri
                .query()
                .unwrap_or_default()
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(known, _)| *known == &**name)
                .map(|(_, value)| hash(value.as_bytes())),
            HashKey::Source => client.peer.map(|peer| match peer.ip() {
                IpAddr::V4(ip) => hash(&ip.octets()),
                IpAddr::V6(ip) => hash(&ip.octets()),
            }),
            HashKey::Cookie { name, ttl } => match cookie(parts, name) {
                Some(value) => Some(hash(value.as_bytes())),
                None => match ttl {
                    None => None,
                    Some(ttl) => {
                        let value = format!("{:016x}", fastrand::u64(..));
                        let seconds = ttl.as_secs();
                        let text = format!("{name}={value}; Path=/; HttpOnly; Max-Age={seconds}");
                        let set = HeaderValue::from_str(&text).ok();
                        return (Some(hash(value.as_bytes())), set);
                    }
                },
            },
        };
        if found.is_some() {
            return (found, None);
        }
    }
    (None, None)
}

fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}
