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
_QUALITY = ("cpu", "memory")


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
    """What the pod takes from its node, with the overhead of its RuntimeClass. What has a limit and
    no request, asks for its limit, as the API writes it down.

    Raises:
        ValueError: a quantity is none.
    """
    return with_overhead(pod, "requests")


def with_overhead(pod: Mapping[str, Any], half: str) -> dict[str, Decimal]:
    """``resource_sum`` and the overhead; of limits only where there is one. Raises ``ValueError``
    as it does.
    """
    found = resource_sum(pod, half)
    for name, value in ((pod.get("spec") or {}).get("overhead") or {}).items():
        if half == "requests" or name in found:
            found[name] = found.get(name, Decimal(0)) + quantities.parse(value)
    return found


def resource_sum(pod: Mapping[str, Any], half: str) -> dict[str, Decimal]:
    """What the containers state together (``half``: ``requests`` or ``limits``), or the largest
    init container with the sidecars that run beside it, if that is more. What the pod states as a
    whole (``spec.resources``) goes before. Without overhead.

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
    whole = (spec.get("resources") or {}).get(half) or {}
    return {**total, **{name: quantities.parse(value) for name, value in whole.items()}}


def _stated(entry: Mapping[str, Any], half: str) -> dict[str, Decimal]:
    """What a container, or the spec of a pod, states."""
    resources = entry.get("resources") or {}
    found = resources.get(half) or {}
    if half == "requests":
        found = {**(resources.get("limits") or {}), **found}
    return {name: quantities.parse(value) for name, value in found.items()}


def quality_of_service(pod: Mapping[str, Any]) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``, by requests and limits of cpu and memory:
    those of the pod if it states any, else of its containers. Zero is none; a quantity that is none
    is told by validation, not here.
    """
    try:
        return _quality(pod.get("spec") or {})
    except ValueError:
        return "BestEffort"


def _quality(spec: Mapping[str, Any]) -> str:
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    guaranteed = True
    for entry in [spec] if spec.get("resources") else every:
        for half, total in (("requests", requests), ("limits", limits)):
            stated = {n: v for n, v in _stated(entry, half).items() if n in _QUALITY and v > 0}
            for name, value in stated.items():
                total[name] = total.get(name, Decimal(0)) + value
            guaranteed = guaranteed and (half == "requests" or len(stated) == len(_QUALITY))
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"
