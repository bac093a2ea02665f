//! The messages of the discovery service, both variants.
use std::{sync::Arc, time::Duration};

use crate::{
    kind::Kind,
    wire::{Fields, Value, WireError, Writer},
};

/// Longest reason that a refusal carries, in characters.
const LONGEST_REASON: usize = 4096;
/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: u64 = 3;

/// What is asked of the server, or said to an answer of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub kind: Kind,
    /// Nonce of the answer that this acknowledges or refuses; empty for none.
    pub nonce: Arc<str>,
    /// Why the answer is refused.
    pub error: Option<String>,
    /// The first request of a stream says who asks.
    pub node: bool,
    pub names: Names,
}

/// Which resources are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// State of the world: all names each time (none at first: all resources), and the version that
    /// is in force.
    Whole {
        names: Vec<Arc<str>>,
        version: Arc<str>,
    },
    /// Delta: what changed, and at first what is known from an earlier stream.
    Delta {
        subscribe: Vec<Arc<str>>,
        unsubscribe: Vec<Arc<str>>,
        known: Vec<(Arc<str>, Arc<str>)>,
    },
}

impl Request {
    /// The bytes of `DiscoveryRequest` or `DeltaDiscoveryRequest`; `node` is an encoded `core.Node`.
    #[must_use]
    pub fn encode(&self, node: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        let status = |out: &mut Writer, number| {
            if let Some(reason) = &self.error {
                let reason: String = reason.chars().take(LONGEST_REASON).collect();
                out.message(number, |status| {
                    status.number(1, INVALID_ARGUMENT).text(2, &reason);
                });
            }
        };
        match &self.names {
            Names::Whole { names, version } => {
                out.text(1, version);
                if self.node {
                    out.bytes(2, node);
                }
                for name in names {
                    out.bytes(3, name.as_bytes());
                }
                out.text(4, &self.kind.url()).text(5, &self.nonce);
                status(&mut out, 6);
            }
            Names::Delta {
                subscribe,
                unsubscribe,
                known,
            } => {
                if self.node {
                    out.bytes(1, node);
                }
                out.text(2, &self.kind.url());
                for name in subscribe {
                    out.bytes(3, name.as_bytes());
                }
                for name in unsubscribe {
                    out.bytes(4, name.as_bytes());
                }
                for (name, version) in known {
                    out.message(5, |entry| {
                        entry.text(1, name).text(2, version);
                    });
                }
                out.text(6, &self.nonce);
                status(&mut out, 7);
            }
        }
        out.finish()
    }
}

/// One resource of an answer, borrowed from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Item<'a> {
    /// Empty where only the resource itself says it.
    pub name: &'a str,
    pub version: &'a str,
    pub ttl: Option<Duration>,
    /// Full name of the message's type.
    pub message: &'a str,
    /// `None` only says that the resource still lives.
    pub body: Option<&'a [u8]>,
}

/// An answer of the server, borrowed from its bytes.
#[derive(Debug, Clone, Default)]
pub struct Response<'a> {
    pub version: &'a str,
    pub url: &'a str,
    pub nonce: &'a str,
    pub items: Vec<Item<'a>>,
    pub removed: Vec<&'a str>,
}

/// The name of the wrapper with a time to live.
const WRAPPER: &str = "envoy.service.discovery.v3.Resource";

impl<'a> Response<'a> {
    /// Reads a `DiscoveryResponse`.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn whole(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut out = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => out.version = value.text()?,
                (2, value) => out.items.push(any_item(value)?),
                (4, value) => out.url = value.text()?,
                (5, value) => out.nonce = value.text()?,
                _ => {}
            }
        }
        Ok(out)
    }

    /// Reads a `DeltaDiscoveryResponse`.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn delta(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut out = Self::default();
        for field in Fields::new(bytes) {
            match field? {
                (1, value) => out.version = value.text()?,
                (2, value) => out.items.push(wrapped_item(value.bytes()?)?),
                (4, value) => out.url = value.text()?,
                (5, value) => out.nonce = value.text()?,
                (6, value) => out.removed.push(value.text()?),
                (8, value) => {
                    if let Some(Ok((1, name))) = Fields::new(value.bytes()?).next() {
                        out.removed.push(name.text()?);
                    }
                }
                _ => {}
            }
        }
        Ok(out)
    }
}

fn any_item(value: Value<'_>) -> Result<Item<'_>, WireError> {
    let (message, body) = value.any()?;
    if message == WRAPPER {
        return wrapped_item(body);
    }
    Ok(Item {
        message,
        body: Some(body),
        ..Item::default()
    })
}

fn wrapped_item(bytes: &[u8]) -> Result<Item<'_>, WireError> {
    let mut out = Item::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, value) => out.version = value.text()?,
            (2, value) => {
                let (message, body) = value.any()?;
                out.message = message;
                out.body = Some(body).filter(|_| !message.is_empty());
            }
            (3, value) => out.name = value.text()?,
            (6, value) => out.ttl = Some(value.duration()?),
            _ => {}
        }
    }
    Ok(out)
}
