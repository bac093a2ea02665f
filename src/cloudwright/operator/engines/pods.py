"""What a pod's status says about it: active, ready, available, terminating."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, deleting


def condition(obj: Mapping[str, Any], kind: str) -> Object | None:
    """The entry of ``status.conditions`` with this ``type``."""
    return find(obj.get("status", {}).get("conditions"), kind)


def phase(pod: Mapping[str, Any]) -> str:
    """``status.phase``; a pod without one is ``Pending``."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def finished(pod: Mapping[str, Any]) -> bool:
    """Whether it ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def active(pod: Mapping[str, Any]) -> bool:
    """Whether it counts as a replica: neither finished nor being deleted."""
    return not finished(pod) and not deleting(pod)


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether its ``Ready`` condition is true."""
    entry = condition(pod, "Ready")
    return entry is not None and entry.get("status") == "True"


def ready_since(pod: Mapping[str, Any]) -> datetime | None:
    """When it became ready, or ``None``."""
    entry = condition(pod, "Ready")
    if entry is None or entry.get("status") != "True" or not entry.get("lastTransitionTime"):
        return None
    return parse_rfc3339(str(entry["lastTransitionTime"]))


def available(pod: Mapping[str, Any], min_ready_seconds: int, now: datetime) -> bool:
    """Whether it has been ready for ``min_ready_seconds``."""
    if not ready(pod):
        return False
    if min_ready_seconds <= 0:
        return True
    since = ready_since(pod)
    return since is not None and since + timedelta(seconds=min_ready_seconds) <= now


def available_in(pod: Mapping[str, Any], min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until a ready pod becomes available; ``None`` when waiting does not help."""
    since = ready_since(pod)
    if since is None or available(pod, min_ready_seconds, now):
        return None
    return (since + timedelta(seconds=min_ready_seconds) - now).total_seconds()


def created_at(obj: Mapping[str, Any]) -> str:
    """``metadata.creationTimestamp``: RFC 3339 text of one zone, so that it sorts as text."""
    return str(obj.get("metadata", {}).get("creationTimestamp") or "")
