//! Image layers for Python; the interpreter runs other tasks meanwhile.
use cloudwright_unpack::{Error, Limits, compress, extract};
use pyo3::{create_exception, exceptions::PyOSError, exceptions::PyValueError, prelude::*};
use std::path::PathBuf;

create_exception!(
    _native,
    LayerError,
    PyValueError,
    "A layer is refused, damaged or too large."
);

fn raise(error: Error) -> PyErr {
    match error {
        Error::Io { path, source } => {
            let text = format!("{}: {source}", path.display());
            PyOSError::new_err((source.raw_os_error().unwrap_or(5), text))
        }
        other => LayerError::new_err(other.to_string()),
    }
}

/// Compress the archive `tar` into `target`; returns `(digest, size, diff_id, uncompressed_size)`.
///
/// Raises OSError when a file cannot be read or written.
#[pyfunction]
pub fn compress_layer(
    py: Python<'_>,
    tar: PathBuf,
    target: PathBuf,
) -> PyResult<(String, u64, String, u64)> {
    let made = py.detach(|| compress(&tar, &target)).map_err(raise)?;
    Ok((made.digest, made.size, made.diff_id, made.uncompressed))
}

/// Unpack `blob` into the empty directory `target`; returns `(diff_id, uncompressed_size, entries)`.
///
/// Raises LayerError for a refused, damaged or too large layer, OSError when the disk fails.
#[pyfunction]
#[pyo3(signature = (blob, target, *, max_bytes = None, max_entries = None))]
pub fn extract_layer(
    py: Python<'_>,
    blob: PathBuf,
    target: PathBuf,
    max_bytes: Option<u64>,
    max_entries: Option<u64>,
) -> PyResult<(String, u64, u64)> {
    let mut limits = Limits::default();
    limits.bytes = max_bytes.unwrap_or(limits.bytes);
    limits.entries = max_entries.unwrap_or(limits.entries);
    let seen = py
        .detach(|| extract(&blob, &target, limits))
        .map_err(raise)?;
    Ok((seen.diff_id, seen.uncompressed, seen.entries))
}
