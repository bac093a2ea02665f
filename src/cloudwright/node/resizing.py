"""Changing the resources of containers that run: what differs, whether it fits, what is told.

Pure. A container has what it was started with (or was last given) until the node gave it what its
spec says now; a resize that does not fit waits and leaves everything as it is (KEP 1287).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from cloudwright.model import pods, quantities
from cloudwright.model.objects import Object

RESIZABLE = ("cpu", "memory")
Resources = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Pending:
    """Why a resize is not done: ``Infeasible`` on this node, or ``Deferred`` until others leave."""

    reason: Literal["Infeasible", "Deferred"]
    message: str


def stated(container: Mapping[str, Any]) -> Resources:
    """The cpu and memory that a container's spec states, as ``containerStatuses`` show it."""
    given = container.get("resources") or {}
    found: dict[str, dict[str, str]] = {}
    for half in ("limits", "requests"):
        amounts = {k: str(v) for k, v in (given.get(half) or {}).items() if k in RESIZABLE}
        if amounts:
            found[half] = amounts
    return found


def differences(container: Mapping[str, Any], has: Resources | None) -> set[str]:
    """Which of cpu and memory the container's spec states otherwise than it ``has`` them;
    nothing when that is not known.
    """
    if has is None:
        return set()
    wants = stated(container)
    return {
        name
        for half in ("limits", "requests")
        for name in RESIZABLE
        if _amount(wants, half, name) != _amount(has, half, name)
    }


def _amount(given: Resources, half: str, name: str) -> Decimal | None:
    value = (given.get(half) or {}).get(name)
    return None if value is None else quantities.parse(value)


def restarts(container: Mapping[str, Any], changed: set[str]) -> bool:
    """Whether the container's ``resizePolicy`` wants a restart for one of the changes."""
    policies = container.get("resizePolicy") or ()
    return any(
        policy.get("resourceName") in changed and policy.get("restartPolicy") == "RestartContainer"
        for policy in policies
    )


def pending(
    pod: Object, capacity: Mapping[str, Any], taken: Mapping[str, Decimal]
) -> Pending | None:
    """Why the pod's requests do not fit on the node: ``capacity`` is what pods may have together,
    ``taken`` what the others ask for.
    """
    wanted = pods.total_requests(pod)
    for name in RESIZABLE:
        if name not in capacity or name not in wanted:
            continue
        total, unit = quantities.parse(capacity[name]), 1000 if name == "cpu" else 1
        asks, has = int(wanted[name] * unit), int(total * unit)
        if wanted[name] > total:
            text = f"Node didn't have enough capacity: {name}, requested: {asks}, capacity: {has}"
            return Pending("Infeasible", text)
        used = taken.get(name, Decimal(0))
        if wanted[name] + used > total:
            return Pending(
                "Deferred",
                f"Node didn't have enough resource: {name}, requested: {asks}, "
                f"used: {int(used * unit)}, capacity: {has}",
            )
    return None
