"""Where a built image goes: the part of a content store that a build needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class ImageSink(Protocol):
    """Keeps blobs and names. All methods are safe beside other processes."""

    def has(self, digest: str) -> bool:
        """Whether the blob is here."""

    def put(self, data: bytes) -> str:
        """Keep ``data``; returns its digest."""

    def adopt(self, file: Path, digest: str) -> None:
        """Move a file made in ``scratch()`` in as the blob ``digest``."""

    def scratch(self) -> Path:
        """A directory on the sink's file system."""

    def tag(self, reference: str, descriptor: dict[str, Any]) -> None:
        """Name a manifest (``mediaType``, ``digest``, ``size``)."""
