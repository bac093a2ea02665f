//! Walking a message by its table: what is used is shown, what is not is warned of or refused.
use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::{
    schema::{Message, Treatment},
    wire::{Fields, Value, WireError},
};

/// Why a resource was refused: the field's path from the resource down, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Bad {
    /// Such as `virtual_hosts[1].routes[0].match`; empty for the resource itself.
    pub path: String,
    pub reason: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

impl Bad {
    /// A problem of the field that is being read.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// A field that cannot be left out without another meaning.
    #[must_use]
    pub fn unsupported() -> Self {
        Self::new("not supported")
    }

    /// The same, seen from the message that has `field`.
    #[must_use]
    pub fn within(mut self, field: &str) -> Self {
        if self.path.is_empty() {
            self.path.push_str(field);
        } else {
            self.path = format!("{field}.{}", self.path);
        }
        self
    }
}

impl From<WireError> for Bad {
    fn from(why: WireError) -> Self {
        Self::new(why.to_string())
    }
}

/// A field that was there and is not acted upon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// Message and field of the tables.
    Ignored(&'static str, &'static str),
    /// A field that is newer than the tables.
    Unknown(&'static str, u32),
    /// A value that is read otherwise than Envoy would.
    Value(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
        match self {
            Self::Ignored(message, field) => write!(f, "{}.{field}: ignored", short(message)),
            Self::Unknown(message, number) => {
                write!(f, "{}: field {number} is not known", short(message))
            }
            Self::Value(text) => f.write_str(text),
        }
    }
}

/// Most different warnings that are kept.
const MOST_WARNINGS: usize = 200;

/// What a translation knows and gathers besides its result.
#[derive(Debug, Default)]
pub struct Context {
    /// The proxy's own zone, for zone-aware clusters.
    pub zone: Option<Arc<str>>,
    /// What was ignored so far.
    pub warnings: BTreeSet<Warning>,
    last: Arc<str>,
}

impl Context {
    /// Nothing gathered yet.
    #[must_use]
    pub fn of_zone(zone: Option<Arc<str>>) -> Self {
        Self {
            zone,
            ..Self::default()
        }
    }

    /// Notes that something is not acted upon.
    pub fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.insert(warning);
        }
    }

    /// `text` as shared text; the same as the last time is shared with it.
    pub fn shared(&mut self, text: &str) -> Arc<str> {
        if *self.last != *text {
            self.last = text.into();
        }
        Arc::clone(&self.last)
    }

    /// Shows every used field of `bytes` to `each`.
    ///
    /// # Errors
    /// The first field that is broken, refused or found bad by `each`, with its path.
    pub fn read<'a>(
        &mut self,
        message: &'static Message,
        bytes: &'a [u8],
        mut each: impl FnMut(&mut Self, &'static str, Value<'a>) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        for (index, field) in Fields::new(bytes).enumerate() {
            let (number, value) = field?;
            let Some(known) = message.field(number) else {
                if message.strict {
                    let reason = "not known, and could change who may or what is meant";
                    return Err(Bad::new(reason).within(&format!("field {number}")));
                }
                self.warn(Warning::Unknown(message.name, number));
                continue;
            };
            let done = match known.treatment {
                Treatment::Used => each(self, known.name, value),
                _ if value == Value::Varint(0) => Ok(()),
                Treatment::Ignored => {
                    self.warn(Warning::Ignored(message.name, known.name));
                    Ok(())
                }
                Treatment::Refused => Err(Bad::unsupported()),
            };
            done.map_err(|bad| bad.within(&place(bytes, number, known.name, index)))?;
        }
        Ok(())
    }
}

/// The field's name, with its index when it is there more than once.
fn place(bytes: &[u8], number: u32, name: &str, at: usize) -> String {
    let same = |(_, field): &(usize, Result<(u32, Value<'_>), WireError>)| matches!(field, Ok((other, _)) if *other == number);
    let all = || Fields::new(bytes).enumerate().filter(same);
    if all().count() < 2 {
        return name.to_owned();
    }
    let before = all().filter(|(index, _)| *index < at).count();
    format!("{name}[{before}]")
}

/// The message within an `Any` that must be of one type.
///
/// # Errors
/// Another type.
pub fn expect<'a>(message: &Message, value: Value<'a>) -> Result<&'a [u8], Bad> {
    let (found, bytes) = value.any()?;
    if found == message.name {
        Ok(bytes)
    } else {
        Err(Bad::new(format!(
            "{found} is not supported, {} is",
            message.name
        )))
    }
}

/// A field of the tables for which a translation has no branch.
///
/// # Errors
/// Always: the update is refused rather than misread.
pub fn unread(name: &str) -> Result<(), Bad> {
    Err(Bad::new(format!("{name} is not supported here")))
}

/// Shared text; all empty ones are one.
#[must_use]
pub fn shared(text: &str) -> Arc<str> {
    if text.is_empty() {
        Arc::default()
    } else {
        text.into()
    }
}
