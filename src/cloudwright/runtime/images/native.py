"""The door to the Rust layer code."""

from __future__ import annotations

from cloudwright._native import LayerError, extract_layer

__all__ = ["LayerError", "extract_layer"]
