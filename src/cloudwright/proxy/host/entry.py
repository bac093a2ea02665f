"""One loaded filter: its hooks as callables, and what it declares."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cloudwright.proxy.sdk.declaration import (
    FILTER_NAME,
    Budget,
    DeclarationError,
    budget_from,
    match_from,
    matches_of,
)
from cloudwright.proxy.sdk.filter import HOOKS, Filter

TIMEOUT_MS_AT_MOST = 60_000
TICK_AT_LEAST = 0.01
OVERRIDES = frozenset(("match", "timeout_ms", "on_error", "order", "budget", "settings"))
"""What the YAML file beside a filter may say."""


@dataclass(slots=True, eq=False)
class Entry:
    """A filter that is ready to be called. ``id`` is given by the folder."""

    name: str
    instance: Filter
    file: str
    kind: str
    timeout_ms: int
    refuse: bool
    order: int
    budget: Budget
    matches: list[dict[str, Any]]
    hooks: dict[str, Callable[..., Any]] = field(default_factory=dict)
    waits: frozenset[str] = frozenset()
    """The hooks that are ``async def``."""
    id: int = 0
    version: int = 0

    @property
    def timeout_ns(self) -> int:
        """How long one hook may take."""
        return self.timeout_ms * 1_000_000

    @property
    def tick_s(self) -> float:
        """How often it wants to be called without a request; 0: never."""
        return self.instance.tick_s

    def describe(self) -> dict[str, Any]:
        """What the proxy is told."""
        return {
            "id": self.id,
            "version": self.version,
            "name": self.name,
            "file": self.file,
            "kind": self.kind,
            "timeout_ms": self.timeout_ms,
            "on_error": "refuse" if self.refuse else "bypass",
            "order": self.order,
            "budget": self.budget.describe(),
            "match": self.matches,
            "hooks": list(self.hooks),
            "async": bool(self.waits),
        }


def entry_of(instance: Filter, file: str, overrides: dict[str, Any], kind: str = "python") -> Entry:
    """Check what ``instance`` declares, with a YAML file's ``overrides`` laid over.

    Raises:
        DeclarationError: an attribute does not say what it should.
    """
    if unknown := set(overrides) - OVERRIDES:
        raise DeclarationError(sorted(unknown)[0], f"no such field; there are {_words(OVERRIDES)}")
    name = instance.name or _kebab(type(instance).__name__)
    if not isinstance(name, str) or not FILTER_NAME.fullmatch(name):
        raise DeclarationError("name", f"lower case letters, digits, - and dots, not {name!r}")
    timeout = overrides.get("timeout_ms", instance.timeout_ms)
    if not isinstance(timeout, int) or not 1 <= timeout <= TIMEOUT_MS_AT_MOST:
        raise DeclarationError("timeout_ms", f"1-{TIMEOUT_MS_AT_MOST}, not {timeout!r}")
    on_error = overrides.get("on_error", instance.on_error)
    if on_error not in ("bypass", "refuse"):
        raise DeclarationError("on_error", f"bypass or refuse, not {on_error!r}")
    order = overrides.get("order", instance.order)
    if isinstance(order, bool) or not isinstance(order, int) or abs(order) > 1_000_000:
        raise DeclarationError("order", f"a whole number, not {order!r}")
    tick = instance.tick_s
    if (
        isinstance(tick, bool)
        or not isinstance(tick, int | float)
        or not (tick == 0 or TICK_AT_LEAST <= tick <= 86_400)
    ):
        raise DeclarationError("tick_s", f"0 or {TICK_AT_LEAST}-86400, not {tick!r}")
    budget = budget_from(overrides["budget"]) if "budget" in overrides else instance.budget
    if not isinstance(budget, Budget):
        raise DeclarationError("budget", f"a Budget, not {budget!r}")
    budget.describe()
    match = match_from(overrides["match"]) if "match" in overrides else instance.match
    settings = overrides.get("settings") or {}
    if not isinstance(settings, dict):
        raise DeclarationError("settings", "a mapping")
    instance.settings = settings
    hooks = _hooks_of(instance)
    return Entry(
        name=name,
        instance=instance,
        file=file,
        kind=kind,
        timeout_ms=timeout,
        refuse=on_error == "refuse",
        order=order,
        budget=budget,
        matches=matches_of(match),
        hooks=hooks,
        waits=frozenset(key for key, hook in hooks.items() if inspect.iscoroutinefunction(hook)),
    )


def _hooks_of(instance: Filter) -> dict[str, Callable[..., Any]]:
    """The hooks that the class, or one of its bases below ``Filter``, defines.

    Raises:
        DeclarationError: none, or one that cannot be called.
    """
    hooks = {}
    for key, method in HOOKS.items():
        if getattr(type(instance), method) is getattr(Filter, method):
            continue
        hooks[key] = getattr(instance, method)
        if not callable(hooks[key]):
            raise DeclarationError(method, "a method")
        wanted = {"request": 1, "response": 2}.get(key, 3)
        try:
            inspect.signature(hooks[key]).bind(*[None] * wanted)
        except TypeError:
            raise DeclarationError(method, f"takes {wanted} arguments beside self") from None
    if not hooks:
        raise DeclarationError("hooks", f"a filter defines one of {_words(HOOKS.values())}")
    return hooks


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _words(names: Any) -> str:
    return ", ".join(sorted(names))
