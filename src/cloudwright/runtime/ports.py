"""What the runtime needs of its neighbours."""

from __future__ import annotations

from typing import Protocol

from cloudwright.model.sandbox import ImageConfig


class Images(Protocol):
    """Knows images by name and keeps their layers unpacked (``runtime.images``)."""

    async def config(self, reference: str) -> ImageConfig:
        """The image's configuration; its layers are directories that exist.

        Raises:
            NotFoundError: there is no such image; the hint says how to get it.
        """
