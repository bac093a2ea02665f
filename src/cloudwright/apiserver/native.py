"""The door to the Rust code that the API server uses."""

from __future__ import annotations

from cloudwright._native import (
    CelActivation,
    CelDocument,
    CelEnvironment,
    CelError,
    CelProgram,
    MergeConflict,
    MergeError,
    MergeFields,
    MergePatchError,
    MergeSchema,
    StructuralSchema,
    managed_apply,
    managed_problem,
    managed_scale,
    managed_unscale,
    managed_update,
    pattern_problem,
)

__all__ = [
    "CelActivation",
    "CelDocument",
    "CelEnvironment",
    "CelError",
    "CelProgram",
    "MergeConflict",
    "MergeError",
    "MergeFields",
    "MergePatchError",
    "MergeSchema",
    "StructuralSchema",
    "managed_apply",
    "managed_problem",
    "managed_scale",
    "managed_unscale",
    "managed_update",
    "pattern_problem",
]
