"""The Rust extension. Only a room's ``native.py`` imports it."""

from os import PathLike

class LayerError(ValueError):
    """A layer is refused, damaged or too large."""

def version() -> str:
    """The version of the native parts."""

def compress_layer(
    tar: str | PathLike[str], target: str | PathLike[str]
) -> tuple[str, int, str, int]:
    """``(digest, size, diff_id, uncompressed_size)``; raises OSError."""

def extract_layer(
    blob: str | PathLike[str],
    target: str | PathLike[str],
    *,
    max_bytes: int | None = None,
    max_entries: int | None = None,
) -> tuple[str, int, int]:
    """``(diff_id, uncompressed_size, entries)``; raises LayerError and OSError."""
