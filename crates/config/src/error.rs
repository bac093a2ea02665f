//! Why a configuration was refused: the place, the reason, what to do.
use std::fmt;

/// One problem; a set with any is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// File, with `:LINE:COLUMN` where the parser knows it; empty when it came over the wire.
    pub origin: String,
    /// Field path such as `clusters[2].endpoints[0].address`, or a resource such as `cluster "a"`.
    pub field: String,
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.reason)
    }
}

impl ConfigError {
    /// A problem of one field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            origin: String::new(),
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same with the file it was read from.
    #[must_use]
    pub fn of(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }
}
