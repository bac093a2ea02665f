"""What a Pod says about itself: readiness, ends, requests, hashes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import conditions, names, quantities
from cloudwright.model.objects import Object, deleting

HASH_LABEL = "pod-template-hash"


def phase(pod: Mapping[str, Any]) -> str:
    """``status.phase``; a pod without one is ``Pending``."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminal(pod: Mapping[str, Any]) -> bool:
    """Whether it ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Mapping[str, Any]) -> bool:
    """Whether it counts as a replica: neither ended nor being deleted."""
    return not is_terminal(pod) and not deleting(pod)


def readiness(pod: Mapping[str, Any]) -> conditions.Condition | None:
    """Its ``Ready`` condition."""
    return conditions.find((pod.get("status") or {}).get("conditions"), "Ready")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether its ``Ready`` condition is true."""
    return (readiness(pod) or {}).get("status") == "True"


def condition(obj: Mapping[str, Any], kind: str) -> conditions.Condition | None:
    """The entry of ``status.conditions`` with this ``type``, of any object."""
    return conditions.find((obj.get("status") or {}).get("conditions"), kind)


def ready_since(pod: Mapping[str, Any]) -> datetime | None:
    """When it became ready; ``None`` when it is not, or does not say."""
    entry = readiness(pod)
    if entry is None or entry.get("status") != "True" or not entry.get("lastTransitionTime"):
        return None
    return parse_rfc3339(str(entry["lastTransitionTime"]))


def available(pod: Mapping[str, Any], min_ready_seconds: int, now: datetime) -> bool:
    """Whether it has been ready for ``min_ready_seconds``."""
    if not is_ready(pod):
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


def restarts(pod: Mapping[str, Any]) -> int:
    """How often its containers were started again."""
    entries = (pod.get("status") or {}).get("containerStatuses") or ()
    return sum(int(entry.get("restartCount") or 0) for entry in entries)


def containers(pod: Mapping[str, Any]) -> list[Object]:
    """Its containers, without the init ones."""
    return list((pod.get("spec") or {}).get("containers") or ())


def container(pod: Mapping[str, Any], name: str) -> Object | None:
    """The container or init container of that name."""
    spec = pod.get("spec") or {}
    for entry in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        if entry.get("name") == name:
            return dict(entry)
    return None


def container_status(pod: Mapping[str, Any], name: str) -> Object | None:
    """The status of the container or init container of that name."""
    status = pod.get("status") or {}
    both = (status.get("containerStatuses") or (), status.get("initContainerStatuses") or ())
    for entry in (*both[0], *both[1]):
        if entry.get("name") == name:
            return dict(entry)
    return None


def template_hash(template: Mapping[str, Any]) -> str:
    """The ``pod-template-hash`` of a template; a hash label in it does not count."""
    metadata = dict(template.get("metadata") or {})
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    return names.short_hash({**template, "metadata": {**metadata, "labels": labels}})


def total_requests(pod: Mapping[str, Any]) -> dict[str, Decimal]:
    """What the pod takes from its node: all containers, or the largest init container if more.

    Raises:
        ValueError: a quantity is none.
    """
    spec = pod.get("spec") or {}
    total = quantities.add(_requests(entry) for entry in spec.get("containers") or ())
    for entry in spec.get("initContainers") or ():
        for name, value in _requests(entry).items():
            total[name] = max(total.get(name, Decimal(0)), quantities.parse(value))
    for name, value in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, Decimal(0)) + quantities.parse(value)
    return total


def resource_sum(pod: Mapping[str, Any], half: str) -> dict[str, Decimal]:
    """What the containers state together (``half``: ``requests`` or ``limits``), or the largest
    init container with the sidecars that run beside it, if that is more. Without overhead.

    Raises:
        ValueError: a quantity is none.
    """
    spec = pod.get("spec") or {}
    total: dict[str, Decimal] = {}
    beside: dict[str, Decimal] = {}
    for entry in spec.get("containers") or ():
        for name, value in _stated(entry, half).items():
            total[name] = total.get(name, Decimal(0)) + value
    for entry in spec.get("initContainers") or ():
        for name, value in _stated(entry, half).items():
            already = beside.get(name, Decimal(0))
            if entry.get("restartPolicy") == "Always":
                total[name] = total.get(name, Decimal(0)) + value
                beside[name] = already + value
            else:
                total[name] = max(total.get(name, Decimal(0)), value + already)
    return total


def _stated(entry: Mapping[str, Any], half: str) -> dict[str, Decimal]:
    found = (entry.get("resources") or {}).get(half) or {}
    return {name: quantities.parse(value) for name, value in found.items()}


def quality_of_service(pod: Mapping[str, Any]) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``, by requests and limits of cpu and memory."""
    spec = pod.get("spec") or {}
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    guaranteed, any_set = True, False
    for entry in every:
        resources = entry.get("resources") or {}
        limits, requests = resources.get("limits") or {}, _requests(entry)
        for name in ("cpu", "memory"):
            any_set = any_set or name in limits or name in requests
            guaranteed = guaranteed and name in limits and requests.get(name) == limits[name]
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _requests(entry: Mapping[str, Any]) -> dict[str, Any]:
    resources = entry.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
