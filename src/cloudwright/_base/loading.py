"""Modules that are loaded when they are first needed, without standing in anybody's way."""

from __future__ import annotations

import sys
from importlib import import_module

from anyio import to_thread


async def ahead(*names: str) -> None:
    """Import modules in a thread, so that the event loop goes on; what is there costs nothing.

    For work in the background, before an ``import`` of the same modules in a function.
    """
    if any(name not in sys.modules for name in names):
        await to_thread.run_sync(_import, names)


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        import_module(name)
