"""Taints of nodes, and what they mean for the pods there. Pure.

Source: kubernetes ``pkg/controller/nodelifecycle`` (``doNoScheduleTaintingPass``,
``processNoScheduleTaintBaseOnCondition``) and ``pkg/controller/tainteviction``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.model.placement import tolerates

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS = frozenset({*_BY_CONDITION.values(), _UNSCHEDULABLE})

Taint = Mapping[str, Any]


def reported(node: Mapping[str, Any]) -> bool:
    """Whether the node has said how it is."""
    return conditions.find((node.get("status") or {}).get("conditions"), "Ready") is not None


def ready(node: Mapping[str, Any]) -> str:
    """The status of the condition ``Ready``; ``Unknown`` when there is none."""
    entry = conditions.find((node.get("status") or {}).get("conditions"), "Ready")
    return str((entry or {}).get("status") or "Unknown")


def wanted(node: Object, now: datetime) -> list[Object] | None:
    """The taints that a node should have; ``None``: those that it has."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    have: list[Object] = list(spec.get("taints") or ())
    keys = [
        key
        for (kind, state), key in _BY_CONDITION.items()
        if (conditions.find(status.get("conditions"), kind) or {}).get("status") == state
    ]
    if spec.get("unschedulable"):
        keys.append(_UNSCHEDULABLE)
    wish = {(key, "NoSchedule") for key in keys}
    wish |= {(key, "NoExecute") for key in keys if key in (NOT_READY, UNREACHABLE)}
    kept = [taint for taint in have if not _managed(taint) or _of(taint) in wish]
    known = {_of(taint) for taint in kept}
    added: list[Object] = [
        {"key": key, "effect": effect, "timeAdded": rfc3339(now)}
        for key, effect in sorted(wish - known)
    ]
    return [*kept, *added] if added or len(kept) != len(have) else None


def _of(taint: Taint) -> tuple[str, str]:
    return str(taint.get("key")), str(taint.get("effect"))


def _managed(taint: Taint) -> bool:
    """Whether the taint is one of those that conditions make; ``NoExecute`` ones of other keys are
    people's.
    """
    key, effect = _of(taint)
    if effect == "NoExecute":
        return key in (NOT_READY, UNREACHABLE)
    return effect == "NoSchedule" and key in _OURS


def executing(node: Mapping[str, Any] | None) -> list[Object]:
    """The taints of a node that end pods."""
    taints = ((node or {}).get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]


def patience(taints: Sequence[Taint], tolerations: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds that a pod may stay; ``None``: for ever."""
    shortest: float | None = None
    for taint in taints:
        using = [one for one in tolerations if tolerates([one], taint)]
        if not using:
            return 0.0
        limit = using[0].get("tolerationSeconds")
        if limit is not None:
            seconds = max(float(limit), 0.0)
            shortest = seconds if shortest is None else min(shortest, seconds)
    return shortest
