"""Controllers: from what objects wish to what is there.

For your own controllers (docs/how-to/write-a-reconciler.md) this package has ``Reconciler``,
``Context``, ``Result``, ``Manager``, ``Controller``, ``Config``, ``Clash`` and ``main``: these
names stay. ``run.run(client, hooks=…)`` runs the built-in controllers; ``python -m
cloudwright.operator`` runs them alone against any Kubernetes API. Decisions are pure functions in
``engines/``, the controllers that carry them out are one file each in ``controllers/``. May import
``client``, ``model`` and ``_base``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudwright.operator.config import Config
    from cloudwright.operator.engines.sync import Clash
    from cloudwright.operator.manager import Controller, Manager, Result
    from cloudwright.operator.program import main
    from cloudwright.operator.reconciler import Context, Reconciler

__all__ = [
    "Clash",
    "Config",
    "Context",
    "Controller",
    "Manager",
    "Reconciler",
    "Result",
    "main",
]
_HOMES = {
    "Clash": "engines.sync",
    "Config": "config",
    "Context": "reconciler",
    "Controller": "manager",
    "Manager": "manager",
    "Reconciler": "reconciler",
    "Result": "manager",
    "main": "program",
}


def __getattr__(name: str) -> Any:
    """Loads what is asked for: whoever wants an engine needs no Prometheus client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
