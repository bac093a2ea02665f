//! Who calls, as far as it is proved. Cheap to clone: all of it is shared.
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::jwt::Token;

/// A caller, and how he proved who he is.
#[derive(Debug, Clone)]
pub enum Principal {
    /// The holder of a key.
    Key(Arc<KeyHolder>),
    /// The subject of a token.
    Token(Arc<Token>),
    /// The verified peer of the connection.
    Peer(Arc<str>),
    /// Named by the external check (empty: it names nobody).
    External(Arc<str>),
}

/// Whom an API key belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The name in the file.
    pub name: String,
    /// The tenant in the file.
    pub tenant: Option<String>,
    /// Unix seconds after which the key is refused.
    pub expires: Option<u64>,
}

impl Principal {
    /// The name: of the key, `ISSUER/SUBJECT`, the identity of the peer.
    pub fn name(&self) -> &str {
        match self {
            Self::Key(holder) => &holder.name,
            Self::Token(token) => token.name(),
            Self::Peer(name) | Self::External(name) => name,
        }
    }

    /// The tenant its credential says it belongs to.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Key(holder) => holder.tenant.as_deref(),
            Self::Token(token) => token.tenant(),
            Self::Peer(_) | Self::External(_) => None,
        }
    }

    /// The claims of its token.
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Token(token) => Some(token.claims()),
            _ => None,
        }
    }

    /// How it was proved: `api_key`, `jwt`, `mtls` or `external`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "api_key",
            Self::Token(_) => "jwt",
            Self::Peer(_) => "mtls",
            Self::External(_) => "external",
        }
    }
}

/// All that one request proved: none, one, or with `all` several.
#[derive(Debug, Clone, Default)]
pub struct Principals {
    first: Option<Principal>,
    // Apart, so that the common case of one allocates nothing.
    more: Vec<Principal>,
}

impl Principals {
    /// Nobody.
    pub const fn nobody() -> Self {
        Self {
            first: None,
            more: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, principal: Principal) {
        if self.first.is_none() {
            self.first = Some(principal);
        } else {
            self.more.push(principal);
        }
    }

    /// In the order of the providers.
    pub fn iter(&self) -> impl Iterator<Item = &Principal> {
        self.first.iter().chain(&self.more)
    }

    /// The one that is named in logs.
    pub const fn first(&self) -> Option<&Principal> {
        self.first.as_ref()
    }

    /// The tenant: the first credential that has one.
    pub fn tenant(&self) -> Option<&str> {
        self.iter().find_map(Principal::tenant)
    }
}

impl From<Principal> for Principals {
    fn from(principal: Principal) -> Self {
        Self {
            first: Some(principal),
            more: Vec::new(),
        }
    }
}
