//! The static table (RFC 7541 appendix A), by index for the decoder and by name for the encoder.

use http::header as h;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::field::{Field, Name};

/// Number of entries; dynamic indices begin behind it.
pub(crate) const ENTRIES: usize = 61;
const FIRST_HEADER: usize = 15;

/// Pseudo header fields by the static index of their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Pseudo {
    Authority = 1,
    Method = 2,
    Path = 4,
    Scheme = 6,
    Status = 8,
}

/// Names of the entries 15 to 61.
static NAMES: [HeaderName; 47] = [
    h::ACCEPT_CHARSET,
    h::ACCEPT_ENCODING,
    h::ACCEPT_LANGUAGE,
    h::ACCEPT_RANGES,
    h::ACCEPT,
    h::ACCESS_CONTROL_ALLOW_ORIGIN,
    h::AGE,
    h::ALLOW,
    h::AUTHORIZATION,
    h::CACHE_CONTROL,
    h::CONTENT_DISPOSITION,
    h::CONTENT_ENCODING,
    h::CONTENT_LANGUAGE,
    h::CONTENT_LENGTH,
    h::CONTENT_LOCATION,
    h::CONTENT_RANGE,
    h::CONTENT_TYPE,
    h::COOKIE,
    h::DATE,
    h::ETAG,
    h::EXPECT,
    h::EXPIRES,
    h::FROM,
    h::HOST,
    h::IF_MATCH,
    h::IF_MODIFIED_SINCE,
    h::IF_NONE_MATCH,
    h::IF_RANGE,
    h::IF_UNMODIFIED_SINCE,
    h::LAST_MODIFIED,
    h::LINK,
    h::LOCATION,
    h::MAX_FORWARDS,
    h::PROXY_AUTHENTICATE,
    h::PROXY_AUTHORIZATION,
    h::RANGE,
    h::REFERER,
    h::REFRESH,
    h::RETRY_AFTER,
    h::SERVER,
    h::SET_COOKIE,
    h::STRICT_TRANSPORT_SECURITY,
    h::TRANSFER_ENCODING,
    h::USER_AGENT,
    h::VARY,
    h::VIA,
    h::WWW_AUTHENTICATE,
];

/// The name of entry `index` (1 to 61).
pub(crate) fn name(index: usize) -> Name {
    match index {
        1 => Name::Authority,
        2 | 3 => Name::Method,
        4 | 5 => Name::Path,
        6 | 7 => Name::Scheme,
        8..=14 => Name::Status,
        _ => NAMES
            .get(index.wrapping_sub(FIRST_HEADER))
            .map_or(Name::Bad, |name| Name::Header(name.clone())),
    }
}

/// The field of entry `index` (1 to 61).
pub(crate) fn field(index: usize) -> Field {
    match index {
        // An empty authority is no authority.
        1 => Field::Malformed(Name::Authority),
        2 => Field::Method(Method::GET),
        3 => Field::Method(Method::POST),
        4 => Field::Path(PathAndQuery::from_static("/")),
        5 => Field::Path(PathAndQuery::from_static("/index.html")),
        6 => Field::Scheme(Scheme::HTTP),
        7 => Field::Scheme(Scheme::HTTPS),
        8 => Field::Status(StatusCode::OK),
        9 => Field::Status(StatusCode::NO_CONTENT),
        10 => Field::Status(StatusCode::PARTIAL_CONTENT),
        11 => Field::Status(StatusCode::NOT_MODIFIED),
        12 => Field::Status(StatusCode::BAD_REQUEST),
        13 => Field::Status(StatusCode::NOT_FOUND),
        14 => Field::Status(StatusCode::INTERNAL_SERVER_ERROR),
        16 => Field::Header(
            h::ACCEPT_ENCODING,
            HeaderValue::from_static("gzip, deflate"),
        ),
        _ => match name(index) {
            Name::Header(name) => Field::Header(name, HeaderValue::from_static("")),
            other => Field::Malformed(other),
        },
    }
}

/// Octets of the name and value of entry `index`, plus 32.
pub(crate) fn size(index: usize) -> usize {
    let octets = match index {
        1 => 10,
        2 => 10,
        3 => 11,
        4 => 6,
        5 => 16,
        6 => 11,
        7 => 12,
        8..=14 => 10,
        16 => 28,
        _ => name_length(index),
    };
    octets + 32
}

/// Octets of the name of entry `index`.
pub(crate) fn name_length(index: usize) -> usize {
    match index {
        1 => 10,
        2 | 3 | 6 | 7 | 8..=14 => 7,
        4 | 5 => 5,
        _ => NAMES
            .get(index.wrapping_sub(FIRST_HEADER))
            .map_or(0, |name| name.as_str().len()),
    }
}

/// The static index of the name of a regular field, 0 where it has none.
///
/// By length first: most names are told apart by it, and the rest by one comparison.
pub(crate) fn index_of(name: &HeaderName) -> usize {
    let text = name.as_str();
    let candidates: &[usize] = match text.len() {
        3 => &[21, 60],
        4 => &[38, 33, 34, 37, 45, 59],
        5 => &[22, 50],
        6 => &[19, 32, 35, 54],
        7 => &[36, 51, 52],
        8 => &[39, 42, 46],
        10 => &[58, 55],
        11 => &[53],
        12 => &[31, 47],
        13 => &[18, 23, 24, 30, 41, 44],
        14 => &[28, 15],
        15 => &[16, 17],
        16 => &[26, 27, 29, 61],
        17 => &[40, 57],
        18 => &[48],
        19 => &[25, 43, 49],
        25 => &[56],
        27 => &[20],
        _ => &[],
    };
    candidates
        .iter()
        .copied()
        .find(|index| NAMES[index - FIRST_HEADER] == *name)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_at_its_index() {
        for index in FIRST_HEADER..=ENTRIES {
            let Name::Header(name) = name(index) else {
                panic!("{index}")
            };
            assert_eq!(index_of(&name), index, "{name}");
        }
        assert_eq!(index_of(&HeaderName::from_static("x-other")), 0);
    }

    #[test]
    fn entries_stand_where_the_appendix_has_them() {
        assert_eq!(name(23), Name::Header(h::AUTHORIZATION));
        assert_eq!(name(32), Name::Header(h::COOKIE));
        assert_eq!(name(58), Name::Header(h::USER_AGENT));
        assert_eq!(name(61), Name::Header(h::WWW_AUTHENTICATE));
        assert_eq!(field(14), Field::Status(StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!(size(16), 15 + 13 + 32);
    }
}
