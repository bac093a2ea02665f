"""The door to the Rust code that the API server uses."""

from __future__ import annotations

from cloudwright._native import (
    CelActivation,
    CelDocument,
    CelEnvironment,
    CelError,
    CelProgram,
)

__all__ = ["CelActivation", "CelDocument", "CelEnvironment", "CelError", "CelProgram"]
