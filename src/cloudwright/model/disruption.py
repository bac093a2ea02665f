"""PodDisruptionBudgets: how many pods may go now. Pure; shared by the controller and eviction.

Source: kubernetes ``pkg/controller/disruption`` and ``pkg/registry/core/pod/storage/eviction.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import conditions
from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, deleting, generation, labels_of, name_of
from cloudwright.model.selectors import from_label_selector
from cloudwright.model.shares import of_total

_DELETION_WAIT = timedelta(minutes=2)


def selects(budget: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether the budget is about the pod. No selector selects nothing, an empty one all."""
    selector = (budget.get("spec") or {}).get("selector")
    if selector is None:
        return False
    try:
        return from_label_selector(selector).matches(labels_of(pod))
    except ValueError:
        return False


def needs_scale(budget: Mapping[str, Any]) -> bool:
    """Whether the wished number of pods counts (percentages and ``maxUnavailable``), not only
    those that exist.
    """
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def status_of(
    budget: Object, pods: Sequence[Object], expected: int, now: datetime
) -> tuple[Object, float | None]:
    """The status, and in how many seconds it changes by itself.

    ``expected`` is the number of pods that their controllers wish for.
    """
    old = budget.get("status") or {}
    waiting, again = _disrupted(old.get("disruptedPods") or {}, pods, now)
    healthy = sum(
        podstate.is_ready(pod) and not deleting(pod) and name_of(pod) not in waiting for pod in pods
    )
    desired = _desired(budget.get("spec") or {}, expected)
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": generation(budget),
        "conditions": conditions.set_condition(
            old.get("conditions"),
            "DisruptionAllowed",
            "True" if allowed else "False",
            reason,
            "",
            now,
            generation(budget),
        ),
    }
    if waiting:
        status["disruptedPods"] = waiting
    return status, again


def _desired(spec: Mapping[str, Any], expected: int) -> int:
    most = spec.get("maxUnavailable")
    if most is not None:
        return max(expected - _share(most, expected), 0)
    least = spec.get("minAvailable")
    return _share(1 if least is None else least, expected)


def _share(value: int | str, total: int) -> int:
    """Nothing is protected by what cannot be read; admission lets no such budget in."""
    try:
        return of_total(value, total)
    except ValueError:
        return 0


def _disrupted(
    known: Mapping[str, str], pods: Sequence[Object], now: datetime
) -> tuple[dict[str, str], float | None]:
    """Evicted pods whose deletion is not seen yet; after two minutes nobody waits any longer."""
    present = {name_of(pod) for pod in pods if not deleting(pod)}
    kept: dict[str, str] = {}
    again: float | None = None
    for name, since in known.items():
        left = (parse_rfc3339(since) + _DELETION_WAIT - now).total_seconds()
        if name in present and left > 0:
            kept[name] = since
            again = left if again is None else min(again, left)
    return kept, again
