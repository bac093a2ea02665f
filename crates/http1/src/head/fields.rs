//! Fields of a head: the ones that belong to this hop are taken off and understood.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::map;
use super::names::{self, Kind};
use crate::error::Fault;
use crate::limits::{FIELDS, Limits};

/// The fields of a head: `headers` go on, the rest is between us and the peer.
pub(crate) struct Fields {
    pub(crate) headers: HeaderMap,
    pub(crate) length: Option<u64>,
    pub(crate) coding: Option<Coding>,
    pub(crate) options: Options,
    pub(crate) has_host: bool,
    pub(crate) expects_continue: bool,
}

/// The transfer coding, as exactly as it was named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// `chunked`, letter for letter.
    Exact,
    /// `chunked` in other letters, which RFC 9112 allows.
    AnyCase,
    Unknown,
}

/// What the `connection` field says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Fields {
    /// Understand what the parser found in `head`.
    pub(crate) fn read(head: &Bytes, raw: &[httparse::Header<'_>]) -> Result<Self, Fault> {
        let mut fields = Self {
            headers: map(raw.len()),
            length: None,
            coding: None,
            options: Options::default(),
            has_host: false,
            expects_continue: false,
        };
        let mut named = Vec::new();
        let mut upgrades = false;
        for field in raw {
            let (name, kind) = names::read(field.name.as_bytes())?;
            upgrades |= kind == Kind::Upgrade;
            if kind == Kind::Plain || fields.passes(kind, field.value, &mut named)? {
                let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
                    .map_err(|_| Fault::FieldValue)?;
                fields.headers.append(name, value);
            }
        }
        if !named.is_empty() {
            fields.drop_named(&named)?;
        }
        if upgrades {
            fields.settle_upgrade();
        } else {
            fields.options.upgrade = false;
        }
        Ok(fields)
    }

    /// Look at a field that means something; whether it goes on.
    fn passes<'v>(
        &mut self,
        kind: Kind,
        value: &'v [u8],
        named: &mut Vec<&'v [u8]>,
    ) -> Result<bool, Fault> {
        Ok(match kind {
            Kind::Plain | Kind::Upgrade => true,
            Kind::Length => {
                let earlier = self.length.replace(number(value)?);
                return earlier.map_or(Ok(true), |_| Err(Fault::LengthMany));
            }
            Kind::Coding => {
                let earlier = self.coding.replace(coding(value));
                return earlier.map_or(Ok(false), |_| Err(Fault::CodingMany));
            }
            Kind::Connection => {
                self.options.read(value, named);
                false
            }
            Kind::Hop => false,
            Kind::Te => value.eq_ignore_ascii_case(b"trailers"),
            Kind::Host => {
                let earlier = std::mem::replace(&mut self.has_host, true);
                return if earlier {
                    Err(Fault::HostMany)
                } else {
                    Ok(true)
                };
            }
            Kind::Expect => {
                let wants = value.eq_ignore_ascii_case(b"100-continue");
                self.expects_continue |= wants;
                !wants
            }
        })
    }

    /// Fields that `connection` names are for this hop (RFC 9110, section 7.6.1).
    fn drop_named(&mut self, named: &[&[u8]]) -> Result<(), Fault> {
        for option in named {
            match HeaderName::from_bytes(option) {
                Ok(header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING) => {
                    return Err(Fault::ConnectionOption);
                }
                Ok(name) => drop(self.headers.remove(name)),
                // No field can have such a name.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// An upgrade counts when `connection` names it; h2c never does, it would go round a proxy.
    fn settle_upgrade(&mut self) {
        let upgrade = self.headers.get(header::UPGRADE);
        let wanted = upgrade.is_some_and(|value| {
            !value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
        });
        if upgrade.is_some() && !(wanted && self.options.upgrade) {
            self.headers.remove(header::UPGRADE);
            self.headers.remove("http2-settings");
        }
        self.options.upgrade &= wanted;
    }
}

impl Options {
    fn read<'v>(&mut self, value: &'v [u8], named: &mut Vec<&'v [u8]>) {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !option.is_empty() && !option.eq_ignore_ascii_case(b"te") {
                named.push(option);
            }
        }
    }

    /// Whether the connection goes on after this message.
    pub(crate) fn keeps(self, version: u8) -> bool {
        !self.close && (version == 1 || self.keep_alive)
    }
}

/// A content-length: digits and nothing else.
pub(crate) fn number(value: &[u8]) -> Result<u64, Fault> {
    if value.is_empty() || value.len() > 19 {
        return Err(Fault::LengthValue);
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            Ok(sum * 10 + u64::from(digit))
        } else {
            Err(Fault::LengthValue)
        }
    })
}

fn coding(value: &[u8]) -> Coding {
    if value == b"chunked" {
        Coding::Exact
    } else if value.eq_ignore_ascii_case(b"chunked") {
        Coding::AnyCase
    } else {
        Coding::Unknown
    }
}

/// The fields after a chunked body; those that frame, route or authenticate are refused.
pub(crate) fn trailers(section: &Bytes, limits: &Limits) -> Result<HeaderMap, Fault> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    let slots = slots
        .get_mut(..limits.max_fields.min(FIELDS))
        .unwrap_or_default();
    let parsed = match httparse::parse_headers(section, slots) {
        Ok(httparse::Status::Complete((end, parsed))) if end == section.len() => parsed,
        _ => return Err(Fault::Trailer),
    };
    let mut headers = map(parsed.len());
    for field in parsed {
        let (name, _) = names::read(field.name.as_bytes()).map_err(|_| Fault::Trailer)?;
        if is_forbidden(&name) {
            return Err(Fault::Trailer);
        }
        let value = HeaderValue::from_maybe_shared(section.slice_ref(field.value))
            .map_err(|_| Fault::Trailer)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "content-length"
            | "transfer-encoding"
            | "host"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
            | "content-encoding"
            | "content-type"
            | "content-range"
            | "authorization"
            | "proxy-authorization"
            | "cookie"
            | "set-cookie"
            | "cache-control"
            | "max-forwards"
            | "range"
    )
}
