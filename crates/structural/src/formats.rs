//! The formats of text that schemas may name.
use std::net::IpAddr;

use base64::Engine as _;
use cloudwright_cel::{compile_pattern, parse_date, parse_timestamp, schema_duration};

const UUID: &str = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
const UUID3: &str = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
const UUID4: &str = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
const UUID5: &str = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const HOST: &str = "^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?(\\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*\\.?$";
const CARD: &str = "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\\d{3})\\d{11})$";
const RGB: &str = "^rgb\\(\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*,\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*,\\s*(0|[1-9]\\d?|1\\d\\d?|2[0-4]\\d|25[0-5])\\s*\\)$";
const EMAIL: &str = "^[^\\s@<>\"(),:;\\[\\\\\\]]+@[^\\s@<>\"(),:;\\[\\\\\\]]+$";
const KNOWN: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Whether upstream looks at a format.
#[must_use]
pub fn known(name: &str) -> bool {
    KNOWN.contains(&name.replace('-', "").as_str())
}

/// Whether a text is of a format.
#[must_use]
pub fn fits(format: &str, text: &str) -> bool {
    let like = |pattern: &str| compile_pattern(pattern).is_ok_and(|one| one.regex.is_match(text));
    match format.replace('-', "").as_str() {
        "bsonobjectid" => like("^[0-9a-fA-F]{24}$"),
        "uri" => uri(text),
        "email" => like(EMAIL),
        "hostname" => text.len() <= 255 && like(HOST),
        "ipv4" => text.parse::<IpAddr>().is_ok_and(|one| one.is_ipv4()),
        "ipv6" => text.parse::<IpAddr>().is_ok_and(|one| one.is_ipv6()),
        "cidr" => cidr(text),
        "mac" => {
            like("^([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2}[:-]){0,14}[0-9a-fA-F]{2}$")
                || like("^([0-9a-fA-F]{4}\\.){2}([0-9a-fA-F]{4}\\.)?[0-9a-fA-F]{4}$")
        }
        "uuid" => like(UUID),
        "uuid3" => like(UUID3),
        "uuid4" => like(UUID4),
        "uuid5" => like(UUID5),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "creditcard" => card(text),
        "ssn" => like("^\\d{3}[- ]?\\d{2}[- ]?\\d{4}$"),
        "hexcolor" => like("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
        "rgbcolor" => like(RGB),
        "byte" => {
            !text.is_empty()
                && base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .is_ok()
        }
        "date" => parse_date(text).is_some(),
        "datetime" => parse_timestamp(text).is_some(),
        "duration" => schema_duration(text).is_some(),
        "k8sshortname" => text.len() <= 63 && like(LABEL),
        "k8slongname" => text.len() <= 253 && like(SUBDOMAIN),
        _ => true,
    }
}

fn uri(text: &str) -> bool {
    // An absolute URI, or an absolute path.
    text.starts_with('/')
        || compile_pattern("^[a-zA-Z][a-zA-Z0-9+.-]*:[^\\x00-\\x20\\x7f]+$")
            .is_ok_and(|one| one.regex.is_match(text))
}

fn cidr(text: &str) -> bool {
    let Some((host, bits)) = text.split_once('/') else {
        return false;
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.bytes().all(|c| c.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn digits(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

fn isbn10(text: &str) -> bool {
    let text = digits(text);
    if text.len() != 10 || !text[..9].bytes().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let value = |c: u8| {
        if c == b'X' {
            10
        } else {
            u32::from(c.wrapping_sub(b'0'))
        }
    };
    let sum: u32 = text
        .bytes()
        .zip(1..)
        .map(|(c, weight)| weight * value(c))
        .sum();
    sum.is_multiple_of(11)
}

fn isbn13(text: &str) -> bool {
    let text = digits(text);
    if text.len() != 13 || !text.bytes().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = text
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(c, w)| w * u32::from(c - b'0'))
        .sum();
    sum.is_multiple_of(10)
}

fn card(text: &str) -> bool {
    let text: String = text.chars().filter(char::is_ascii_digit).collect();
    if !compile_pattern(CARD).is_ok_and(|one| one.regex.is_match(&text)) {
        return false;
    }
    let sum: u32 = text
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, c)| {
            let digit = u32::from(c - b'0');
            let doubled = if at % 2 == 1 { digit * 2 } else { digit };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}
