"""The process's environment: the only module that reads ``os.environ``."""

from __future__ import annotations

import os
from collections.abc import Mapping


def variable(name: str, default: str | None = None) -> str | None:
    """The value of ``CLOUDWRIGHT_<name>`` or of ``name`` itself when it has another prefix."""
    value = os.environ.get(name)
    return default if value in (None, "") else value


def inherited(**changes: str) -> dict[str, str]:
    """A copy of the environment with ``changes`` applied, for a child process."""
    return {**os.environ, **changes}


def snapshot() -> Mapping[str, str]:
    """A read-only view of the environment as it is now."""
    return dict(os.environ)
