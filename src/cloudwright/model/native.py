"""The door to the Rust crate ``wire``."""

from __future__ import annotations

from cloudwright._native import WireError, WireTypes, canonical_quantity

__all__ = ["WireError", "WireTypes", "canonical_quantity"]
