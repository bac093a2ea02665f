"""``status.conditions``: a list with one entry for each type (``metav1.Condition``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from cloudwright._base.clock import rfc3339

Status = Literal["True", "False", "Unknown"]
Condition = dict[str, Any]


def find(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> Condition | None:
    """The condition of that type, if there is one."""
    for condition in conditions or ():
        if condition.get("type") == type:
            return dict(condition)
    return None


def is_true(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> bool:
    """Whether there is a condition of that type and its status is ``True``."""
    condition = find(conditions, type)
    return condition is not None and condition.get("status") == "True"


def set_condition(
    conditions: Sequence[Mapping[str, Any]] | None,
    type: str,
    status: Status,
    reason: str,
    message: str,
    now: datetime,
    observed_generation: int | None = None,
) -> list[Condition]:
    """A new list in which the condition is as told, at its old place or at the end.

    ``lastTransitionTime`` is ``now`` only when the status changed. Other keys of the old entry
    (``lastProbeTime`` …) are kept.
    """
    changed: Condition = {"type": type, "status": status, "reason": reason, "message": message}
    if observed_generation is not None:
        changed["observedGeneration"] = observed_generation
    result: list[Condition] = []
    seen = False
    for old in conditions or ():
        if old.get("type") != type:
            result.append(dict(old))
        elif not seen:
            seen = True
            result.append(_merged(dict(old), changed, now))
    if not seen:
        result.append({**changed, "lastTransitionTime": rfc3339(now)})
    return result


def remove_condition(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> list[Condition]:
    """A new list without the condition of that type."""
    return [dict(entry) for entry in conditions or () if entry.get("type") != type]


def _merged(old: Condition, changed: Condition, now: datetime) -> Condition:
    same = old.get("status") == changed["status"] and old.get("lastTransitionTime")
    return {**old, **changed, "lastTransitionTime": same or rfc3339(now)}
