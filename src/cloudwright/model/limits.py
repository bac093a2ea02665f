"""What a ``LimitRange`` fills in and refuses (upstream's LimitRanger plug-in). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from cloudwright.model.objects import Object
from cloudwright.model.pods import resource_sum
from cloudwright.model.quantities import format_bytes, format_cpu, parse

Resources = Mapping[str, Any]
ANNOTATION = "kubernetes.io/limit-ranger"


def fill_in(pod: Object, limit_ranges: Iterable[Object]) -> None:
    """Give each container the default requests and limits that it does not state itself."""
    notes: list[str] = []
    for found in limit_ranges:
        requests: dict[str, Any] = {}
        limits: dict[str, Any] = {}
        for item in _items(found, "Container"):
            requests.update(item.get("defaultRequest") or {})
            limits.update(item.get("default") or {})
        for what, container in _containers(pod):
            given = dict(container.get("resources") or {})
            for half, defaults in (("requests", requests), ("limits", limits)):
                missing = {
                    key: value
                    for key, value in defaults.items()
                    if key not in (given.get(half) or {})
                }
                if missing:
                    given[half] = {**(given.get(half) or {}), **missing}
                    names = ", ".join(sorted(missing))
                    notes.append(f"{names} {half[:-1]} for {what} {container.get('name')}")
            if given:
                container["resources"] = given
    if notes:
        annotations = pod["metadata"].get("annotations") or {}
        text = "LimitRanger plugin set: " + "; ".join(notes)
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: text}


def pod_problems(pod: Object, limit_ranges: Iterable[Object]) -> list[str]:
    """Which limits a pod breaks, in upstream's words."""
    found: list[str] = []
    for limit_range in limit_ranges:
        for item in _items(limit_range, "Container"):
            for _, container in _containers(pod):
                resources = container.get("resources") or {}
                requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
                found += _check(item, "Container", requests, limits)
        for item in _items(limit_range, "Pod"):
            found += _check(item, "Pod", _sum(pod, "requests"), _sum(pod, "limits"))
    return found


def claim_problems(claim: Object, limit_ranges: Iterable[Object]) -> list[str]:
    """Which limits a ``PersistentVolumeClaim`` breaks."""
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    found: list[str] = []
    for limit_range in limit_ranges:
        for item in _items(limit_range, "PersistentVolumeClaim"):
            for name, least in (item.get("min") or {}).items():
                if name in requests and parse(requests[name]) < parse(least):
                    found.append(
                        f"minimum {name} usage per PersistentVolumeClaim is {least}, "
                        f"but request is {requests[name]}"
                    )
            for name, most in (item.get("max") or {}).items():
                if name in requests and parse(requests[name]) > parse(most):
                    found.append(
                        f"maximum {name} usage per PersistentVolumeClaim is {most}, "
                        f"but request is {requests[name]}"
                    )
    return found


def _check(item: Object, kind: str, requests: Resources, limits: Resources) -> list[str]:
    found: list[str] = []
    for name, least in (item.get("min") or {}).items():
        start = f"minimum {name} usage per {kind} is {least}"
        if name not in requests:
            found.append(f"{start}.  No request is specified")
        elif parse(requests[name]) < parse(least):
            found.append(f"{start}, but request is {requests[name]}")
        elif name in limits and parse(limits[name]) < parse(least):
            found.append(f"{start}, but limit is {limits[name]}")
    for name, most in (item.get("max") or {}).items():
        start = f"maximum {name} usage per {kind} is {most}"
        if name not in limits:
            found.append(f"{start}.  No limit is specified")
        elif parse(limits[name]) > parse(most):
            found.append(f"{start}, but limit is {limits[name]}")
        elif name in requests and parse(requests[name]) > parse(most):
            found.append(f"{start}, but request is {requests[name]}")
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        start = f"{name} max limit to request ratio per {kind} is {ratio}"
        request, limit = parse(requests.get(name, 0)), parse(limits.get(name, 0))
        if not request:
            found.append(f"{start}, but no request is specified or request is 0")
        elif not limit:
            found.append(f"{start}, but no limit is specified or limit is 0")
        elif limit / request > parse(ratio):
            found.append(f"{start}, but provided ratio is {float(limit / request):.6f}")
    return found


def _sum(pod: Object, half: str) -> dict[str, str]:
    """The pod's requests or limits as quantities."""
    return {name: _text(name, value) for name, value in resource_sum(pod, half).items()}


def _text(name: str, value: Decimal) -> str:
    return format_cpu(int(value * 1000)) if name == "cpu" else format_bytes(int(value))


def _items(limit_range: Object, kind: str) -> list[Object]:
    limits = (limit_range.get("spec") or {}).get("limits") or ()
    return [item for item in limits if item.get("type") == kind]


def _containers(pod: Object) -> Iterator[tuple[str, Object]]:
    spec = pod.get("spec") or {}
    for container in spec.get("containers") or ():
        yield "container", container
    for container in spec.get("initContainers") or ():
        yield "init container", container
