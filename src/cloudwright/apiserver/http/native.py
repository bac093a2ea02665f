"""The door to the native HTTP server."""

from __future__ import annotations

from cloudwright._native import FaceServer

__all__ = ["FaceServer"]
