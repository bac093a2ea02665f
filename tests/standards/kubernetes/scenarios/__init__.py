"""Scripted requests by topic; each is a function that talks to a ``Session``.

A scenario's ``room`` is the part of the API server that answers for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.standards.kubernetes.session import Session


@dataclass(frozen=True, slots=True)
class Scenario:
    """``play`` sends the requests."""

    name: str
    room: str
    play: Callable[[Session], None]


SCENARIOS: list[Scenario] = []


def scenario(room: str) -> Callable[[Callable[[Session], None]], Callable[[Session], None]]:
    """Register a function as a scenario of ``room``."""

    def register(play: Callable[[Session], None]) -> Callable[[Session], None]:
        SCENARIOS.append(Scenario(play.__name__, room, play))
        return play

    return register


for _found in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_found}")
