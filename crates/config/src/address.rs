//! Addresses as people write them: `127.0.0.1:80`, `[::1]:80`, `name:80`, `unix:/path`.
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Where to listen or to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// An IP address with a port.
    Ip(SocketAddr),
    /// A name that the resolver knows, with a port.
    Name(Arc<str>, u16),
    /// A Unix stream socket.
    Unix(Arc<std::path::Path>),
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: IP:PORT, [IPv6]:PORT, NAME:PORT or unix:/PATH is meant")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path).into()))
            } else {
                Err(bad())
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (name, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let port = port.parse().map_err(|_| bad())?;
        if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
            return Err(bad());
        }
        Ok(Self::Name(name.into(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = BadAddress;
    fn try_from(text: String) -> Result<Self, BadAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read() {
        for text in [
            "127.0.0.1:80",
            "[::1]:8080",
            "a-b.c:443",
            "unix:/run/a b.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "80",
            ":80",
            "host",
            "host:",
            "host:99999",
            "unix:rel",
            "a b:80",
            ".:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
