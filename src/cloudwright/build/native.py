"""The door to the Rust layer code."""

from __future__ import annotations

from cloudwright._native import compress_layer

__all__ = ["compress_layer"]
