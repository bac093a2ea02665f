//! Field names: the common ones without allocation, and which of them mean something to us.

use http::HeaderName;

use crate::error::Fault;

/// What a field means to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: it goes on.
    Plain,
    Length,
    Coding,
    Connection,
    /// Of this hop only.
    Hop,
    Te,
    Host,
    Expect,
    Upgrade,
}

macro_rules! common {
    ($($length:literal: $($name:literal $($kind:ident)?)*;)*) => {
        /// The name for these bytes, and what it means.
        #[allow(clippy::collapsible_match)]
        pub(crate) fn read(bytes: &[u8]) -> Result<(HeaderName, Kind), Fault> {
            let lower = lower(bytes);
            match bytes.len() {
                $($length => {
                    $(if lower[..$length] == $name.as_bytes()[..] {
                        return Ok((const { HeaderName::from_static($name) }, kind!($($kind)?)));
                    })*
                })*
                _ => {}
            }
            let name = HeaderName::from_bytes(bytes).map_err(|_| Fault::FieldName)?;
            Ok((name, Kind::Plain))
        }

        #[cfg(test)]
        const COMMON: &[(usize, &str)] = &[$($(($length, $name),)*)*];
    };
}

macro_rules! kind {
    () => {
        Kind::Plain
    };
    ($kind:ident) => {
        Kind::$kind
    };
}

/// Bytes of the longest common name, rounded up to a few registers.
const LONGEST: usize = 32;

/// The first bytes in lower case, for comparisons of a fixed length.
#[inline(always)]
fn lower(bytes: &[u8]) -> [u8; LONGEST] {
    let mut lower = [0; LONGEST];
    if let Some(room) = lower.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
    lower.make_ascii_lowercase();
    lower
}

// By length; every name a connection acts on has to be here.
common! {
    2: "te" Te;
    3: "age" "via" "dnt";
    4: "host" Host "date" "etag" "vary" "link" "from";
    5: "range" "allow";
    6: "accept" "server" "cookie" "origin" "expect" Expect "pragma";
    7: "upgrade" Upgrade "referer" "expires" "alt-svc" "trailer" "x-cache";
    8: "location" "if-match" "if-range" "priority";
    9: "x-real-ip" "sec-ch-ua" "x-mesh-ns";
    10: "connection" Connection "user-agent" "set-cookie" "keep-alive" Hop "tracestate";
    11: "traceparent" "grpc-status" "retry-after";
    12: "content-type" "x-request-id" "grpc-message" "grpc-timeout" "x-powered-by"
        "x-b3-traceid" "x-b3-sampled" "max-forwards";
    13: "cache-control" "last-modified" "accept-ranges" "authorization" "content-range"
        "if-none-match" "grpc-encoding";
    14: "content-length" Length "accept-charset" "sec-fetch-mode" "sec-fetch-site"
        "sec-fetch-dest" "sec-fetch-user" "x-mesh-sidecar";
    15: "accept-encoding" "accept-language" "x-forwarded-for" "x-frame-options";
    16: "content-encoding" "content-language" "x-forwarded-host" "x-forwarded-port"
        "x-correlation-id" "x-requested-with" "proxy-connection" Hop "www-authenticate"
        "x-xss-protection" "sec-ch-ua-mobile";
    17: "transfer-encoding" Coding "x-forwarded-proto" "if-modified-since" "sec-websocket-key";
    18: "sec-ch-ua-platform";
    19: "content-disposition" "if-unmodified-since";
    20: "sec-websocket-accept" "grpc-accept-encoding";
    21: "sec-websocket-version";
    22: "sec-websocket-protocol" "x-content-type-options";
    23: "content-security-policy";
    24: "sec-websocket-extensions";
    25: "upgrade-insecure-requests" "strict-transport-security";
    27: "access-control-allow-origin";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_are_found_in_any_case() {
        for (length, name) in COMMON {
            assert_eq!(*length, name.len(), "{name} is in the wrong row");
            let (read, _) = read(name.to_uppercase().as_bytes()).unwrap();
            assert_eq!(read, *name);
        }
        assert_eq!(
            read(b"X-Other").unwrap(),
            (HeaderName::from_static("x-other"), Kind::Plain)
        );
        assert_eq!(read(b"Transfer-Encoding").unwrap().1, Kind::Coding);
        assert!(read(b"a b").is_err() && read(b"").is_err());
    }
}
