"""Who did what, when, and how it ended: ``audit.k8s.io/v1`` Events as JSON lines.

``policy`` decides what is worth an event (pure), ``events`` builds them (pure), ``auditor`` follows
a request through its stages, ``notes`` are what other rooms tell about it, ``sinks`` write to a
file that rotates or to a webhook. Off unless a policy is given; then nothing of it is asked.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudwright.apiserver.audit.auditor import Auditor
    from cloudwright.apiserver.audit.policy import Policy, PolicyProblem

__all__ = ["Auditor", "Policy", "PolicyProblem"]

_HOMES = {"Auditor": "auditor", "Policy": "policy", "PolicyProblem": "policy"}


def __getattr__(name: str) -> Any:
    """Loads what is asked for: a server without a policy needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
