//! Why a layer could not be made or unpacked.
use std::{io, path::PathBuf};

/// Everything that can go wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file that was being read or written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An entry of the archive is refused; nothing of the layer may be used.
    #[error("layer entry {entry:?} is refused: {reason}")]
    Refused {
        /// The entry's name as the archive has it.
        entry: String,
        /// Why it is refused.
        reason: String,
    },
    /// The archive is larger than the limits allow.
    #[error("layer is too large: more than {limit} {unit}")]
    TooLarge {
        /// The limit that was passed.
        limit: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// The archive itself is damaged.
    #[error("layer is not a valid archive: {0}")]
    Corrupt(String),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn refused(entry: &str, reason: impl Into<String>) -> Self {
        Self::Refused {
            entry: entry.to_owned(),
            reason: reason.into(),
        }
    }
}
