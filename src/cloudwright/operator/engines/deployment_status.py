"""A Deployment's status: counters, Available, Progressing with its deadline, ReplicaFailure.

Source: kubernetes ``pkg/controller/deployment/progress.go`` and ``sync.go``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339, rfc3339
from cloudwright.model.objects import Object, generation, name_of
from cloudwright.model.pods import condition
from cloudwright.operator.engines.revisions import replicas_of, status_count
from cloudwright.operator.engines.rolling import Fence
from cloudwright.operator.engines.templates import copy

TIMED_OUT = "ProgressDeadlineExceeded"
COMPLETE = "NewReplicaSetAvailable"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
CREATED = "NewReplicaSetCreated"
FOUND = "FoundNewReplicaSet"
UPDATED = "ReplicaSetUpdated"
_COUNTERS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
NO_DEADLINE = 2**31 - 1


def deadline_of(deployment: Object) -> int | None:
    """``progressDeadlineSeconds`` (default 600), or ``None`` when it is switched off."""
    value = deployment["spec"].get("progressDeadlineSeconds")
    seconds = 600 if value is None else int(value)
    return None if seconds == NO_DEADLINE else seconds


def set_condition(status: Object, wanted: Object, now: datetime, *, refresh: bool = False) -> None:
    """Put a Deployment condition in place; times move only when something did.

    ``refresh`` moves ``lastUpdateTime`` also when status and reason stayed.
    """
    conditions = [dict(entry) for entry in status.get("conditions") or []]
    old = next((entry for entry in conditions if entry["type"] == wanted["type"]), None)
    same = old is not None and all(old.get(k) == wanted[k] for k in ("status", "reason"))
    if old is not None and same and not refresh:
        return
    entry = {**wanted, "lastUpdateTime": rfc3339(now), "lastTransitionTime": rfc3339(now)}
    if old is not None and old.get("status") == wanted["status"]:
        entry["lastTransitionTime"] = old.get("lastTransitionTime") or rfc3339(now)
    rest = [item for item in conditions if item["type"] != wanted["type"]]
    status["conditions"] = [*rest, entry]


def drop_condition(status: Object, kind: str) -> None:
    """Take a condition out."""
    status["conditions"] = [c for c in status.get("conditions") or [] if c["type"] != kind]


def progressing(status: str, reason: str, message: str) -> Object:
    """A Progressing condition without its times."""
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}


def counted(
    deployment: Object, new: Object | None, replica_sets: Sequence[Object], bounds: Fence
) -> Object:
    """The status with fresh counters and the old conditions."""
    total = sum(replicas_of(rs) for rs in replica_sets)
    available = sum(status_count(rs, "availableReplicas") for rs in replica_sets)
    numbers = {
        "replicas": sum(status_count(rs, "replicas") for rs in replica_sets),
        "updatedReplicas": status_count(new, "replicas") if new else 0,
        "readyReplicas": sum(status_count(rs, "readyReplicas") for rs in replica_sets),
        "availableReplicas": available,
        "unavailableReplicas": max(total - available, 0),
    }
    status: Object = {"observedGeneration": generation(deployment)}
    status.update({name: value for name, value in numbers.items() if value})
    old = deployment.get("status") or {}
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    status["conditions"] = copy({"c": old.get("conditions") or []})["c"]
    return status


def set_available(status: Object, bounds: Fence, now: datetime) -> None:
    """The Available condition: enough pods, also in the middle of a roll-out."""
    enough = int(status.get("availableReplicas", 0)) >= bounds.floor
    wanted = {
        "type": "Available",
        "status": "True" if enough else "False",
        "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "message": f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    }
    set_condition(status, wanted, now)


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether every wished pod is new and available, and nothing else is left."""
    wished = replicas_of(deployment)
    return (
        int(status.get("updatedReplicas", 0)) == wished
        and int(status.get("replicas", 0)) == wished
        and int(status.get("availableReplicas", 0)) == wished
        and int(status.get("observedGeneration", 0)) >= generation(deployment)
    )


def _advanced(old: Object, new: Object) -> bool:
    """Whether anything moved forward between two statuses."""
    before = {name: int(old.get(name) or 0) for name in _COUNTERS}
    after = {name: int(new.get(name) or 0) for name in _COUNTERS}
    old_left = before["replicas"] - before["updatedReplicas"]
    new_left = after["replicas"] - after["updatedReplicas"]
    return (
        after["updatedReplicas"] > before["updatedReplicas"]
        or new_left < old_left
        or after["readyReplicas"] > before["readyReplicas"]
        or after["availableReplicas"] > before["availableReplicas"]
    )


def timed_out(
    deployment: Object, status: Object, now: datetime, awake: datetime | None = None
) -> bool:
    """Whether nothing moved for ``progressDeadlineSeconds``.

    Time before ``awake`` does not count: nobody was there to move anything (upstream counts it).
    """
    seconds = deadline_of(deployment)
    entry = condition({"status": status}, "Progressing")
    if seconds is None or entry is None or entry.get("reason") == COMPLETE:
        return False
    if entry.get("reason") == TIMED_OUT:
        return True
    strikes = _strikes(entry, seconds, awake)
    return strikes is not None and strikes <= now


def _strikes(entry: Object, seconds: int, awake: datetime | None) -> datetime | None:
    """When the deadline is over."""
    if not entry.get("lastUpdateTime"):
        return None
    moved = parse_rfc3339(str(entry["lastUpdateTime"]))
    # Times in a status are cut to whole seconds: one more, so that it never strikes early.
    return (max(moved, awake) if awake else moved) + timedelta(seconds=seconds + 1)


def set_progress(
    deployment: Object,
    status: Object,
    new: Object | None,
    now: datetime,
    awake: datetime | None = None,
) -> float | None:
    """The Progressing condition; returns seconds until the deadline may strike, if it may."""
    seconds = deadline_of(deployment)
    if seconds is None:
        drop_condition(status, "Progressing")
        return None
    entry = condition({"status": status}, "Progressing")
    settled = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and entry is not None
        and entry.get("reason") == COMPLETE
    )
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if not settled:
        if is_complete(deployment, status):
            wanted = progressing("True", COMPLETE, f"{subject} has successfully progressed.")
            set_condition(status, wanted, now)
        elif _advanced(deployment.get("status") or {}, status):
            wanted = progressing("True", UPDATED, f"{subject} is progressing.")
            set_condition(status, wanted, now, refresh=True)
        elif timed_out(deployment, status, now, awake):
            wanted = progressing("False", TIMED_OUT, f"{subject} has timed out progressing.")
            set_condition(status, wanted, now)
    return _deadline_in(deployment, status, now, awake)


def _deadline_in(
    deployment: Object, status: Object, now: datetime, awake: datetime | None
) -> float | None:
    seconds = deadline_of(deployment)
    entry = condition({"status": status}, "Progressing")
    if seconds is None or entry is None or entry.get("reason") in (TIMED_OUT, COMPLETE, PAUSED):
        return None
    strikes = _strikes(entry, seconds, awake)
    if is_complete(deployment, status) or strikes is None:
        return None
    return max((strikes - now).total_seconds(), 0.0) + 0.05


def set_replica_failure(status: Object, replica_sets: Sequence[Object], now: datetime) -> None:
    """ReplicaFailure as the ReplicaSets report it (quota, admission, …)."""
    for replica_set in replica_sets:
        entry = condition(replica_set, "ReplicaFailure")
        if entry is not None and entry.get("status") == "True":
            wanted: dict[str, Any] = {
                key: entry.get(key, "") for key in ("type", "status", "reason", "message")
            }
            set_condition(status, wanted, now)
            return
    drop_condition(status, "ReplicaFailure")
