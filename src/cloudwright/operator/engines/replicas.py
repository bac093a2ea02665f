"""How many replicas a measure asks for. Pure; values are in thousandths, as upstream's.

Source: kubernetes ``pkg/controller/podautoscaler/replica_calculator.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, deleting, name_of
from cloudwright.model.quantities import parse
from cloudwright.operator.engines.scaling import Behavior

_START = timedelta(minutes=5)
"""So long after its start a pod's use of CPU counts only while it is ready."""
_FIRST_READY = timedelta(seconds=30)
"""A pod whose readiness changed within this time of its start has never been ready."""
MOST = 2**31 - 1
_Ratio = Callable[[Mapping[str, int]], tuple[float, int, int | None]]
"""From values by pod: use over target, the mean, per cent of the requests."""


class Unknown(ValueError):
    """A measure says nothing that replicas could be counted by; says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured of one pod."""

    value: int
    at: datetime
    window: float = 60.0
    """Seconds over which it was measured."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Replicas, and what is measured per pod: in per cent of the requests, and itself."""

    replicas: int
    value: int
    percent: int | None = None


def milli(value: Any) -> int:
    """Thousandths of a quantity, rounded up."""
    return ceil(parse(value) * 1000)


def by_use(
    behavior: Behavior, current: int, target: int, pods: Sequence[Object],
    samples: Mapping[str, Sample], now: datetime, *, cpu: bool = False,
) -> Proposal:  # fmt: skip
    """By a target per pod. Raises ``Unknown``."""

    def ratio(values: Mapping[str, int]) -> tuple[float, int, int | None]:
        mean = sum(values.values()) // len(values)
        return mean / target, mean, None

    return _count(behavior, current, pods, samples, now, ratio, lambda _: target, cpu=cpu)


def by_utilization(
    behavior: Behavior, current: int, target: int, pods: Sequence[Object],
    samples: Mapping[str, Sample], now: datetime, *, resource: str, container: str = "",
) -> Proposal:  # fmt: skip
    """By a target in per cent of what the pods request. Raises ``Unknown``."""
    _need(pods)
    requests: dict[str, int] = {}

    def ratio(values: Mapping[str, int]) -> tuple[float, int, int | None]:
        if not requests:
            requests.update({name_of(pod): _requested(pod, resource, container) for pod in pods})
        known = {name: value for name, value in values.items() if name in requests}
        total = sum(requests[name] for name in known)
        if not total:
            raise Unknown("no metrics returned matched known pods")
        percent = sum(known.values()) * 100 // total
        return percent / target, sum(known.values()) // len(known), percent

    # Whoever is not measured is taken to use all that it asked for, when others use little.
    whole = max(100, target)
    return _count(
        behavior, current, pods, samples, now, ratio,
        lambda name: requests[name] * whole // 100, cpu=resource == "cpu",
    )  # fmt: skip


def by_total(
    behavior: Behavior, current: int, target: int, usage: int, pods: Sequence[Object]
) -> Proposal:
    """By the ratio of one number to its target. Raises ``Unknown``."""
    ratio = usage / target
    if behavior.tolerates(ratio):
        return Proposal(current, usage)
    _need(pods)
    ready = sum(podstate.phase(pod) == "Running" and podstate.is_ready(pod) for pod in pods)
    return Proposal(min(ceil(ratio * ready), MOST), usage)


def by_share(behavior: Behavior, running: int, target: int, usage: int) -> Proposal:
    """By one number that the pods share evenly; ``running`` as the scale's status says."""
    replicas = running
    if not running or not behavior.tolerates(usage / (target * running)):
        replicas = min(ceil(usage / target), MOST)
    return Proposal(replicas, ceil(usage / running) if running else usage)


def _need(pods: Sequence[Object]) -> None:
    if not pods:
        raise Unknown("no pods returned by selector while calculating replica count")


def _count(
    behavior: Behavior, current: int, pods: Sequence[Object], samples: Mapping[str, Sample],
    now: datetime, ratio_of: _Ratio, full: Callable[[str], int], *, cpu: bool,
) -> Proposal:  # fmt: skip
    """Pods that are not measured, or not ready yet, may damp the change, never turn it round."""
    _need(pods)
    ready, unready, missing, ignored = _grouped(pods, samples, now, cpu=cpu)
    values = {n: s.value for n, s in samples.items() if n not in unready and n not in ignored}
    if not values:
        raise Unknown("did not receive metrics for targeted pods (pods might be unready)")
    ratio, value, percent = ratio_of(values)
    same = Proposal(current, value, percent)
    if not missing and not (unready and ratio > 1.0):
        if behavior.tolerates(ratio):
            return same
        return Proposal(min(ceil(ratio * ready), MOST), value, percent)
    if ratio < 1.0:
        values |= {name: full(name) for name in missing}
    elif ratio > 1.0:
        values |= dict.fromkeys([*missing, *unready], 0)
    again = ratio_of(values)[0]
    if behavior.tolerates(again) or (ratio - 1.0) * (again - 1.0) < 0:
        return same
    wanted = min(ceil(again * len(values)), MOST)
    if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
        return same
    return Proposal(wanted, value, percent)


def _grouped(
    pods: Sequence[Object], samples: Mapping[str, Sample], now: datetime, *, cpu: bool
) -> tuple[int, list[str], list[str], list[str]]:
    """How many are ready; the names of those that are not, are not measured, do not count."""
    unready: list[str] = []
    missing: list[str] = []
    ignored: list[str] = []
    for pod in pods:
        name, phase = name_of(pod), podstate.phase(pod)
        if deleting(pod) or phase == "Failed":
            ignored.append(name)
        elif phase == "Pending":
            unready.append(name)
        elif name not in samples:
            missing.append(name)
        elif cpu and _starting(pod, samples[name], now):
            unready.append(name)
    return len(pods) - len(unready) - len(missing) - len(ignored), unready, missing, ignored


def _starting(pod: Object, sample: Sample, now: datetime) -> bool:
    """Whether a pod's use of CPU says nothing yet."""
    entry, since = podstate.readiness(pod), (pod.get("status") or {}).get("startTime")
    if entry is None or not since:
        return True
    started = parse_rfc3339(str(since))
    changed = str(entry.get("lastTransitionTime") or since)
    unready, changed_at = entry.get("status") == "False", parse_rfc3339(changed)
    if started + _START > now:
        return unready or sample.at < changed_at + timedelta(seconds=sample.window)
    return unready and started + _FIRST_READY > changed_at


def _requested(pod: Object, resource: str, container: str) -> int:
    """What a pod, or one container of it, requests. Raises ``Unknown``."""
    spec, name = pod.get("spec") or {}, name_of(pod)
    whole = (spec.get("resources") or {}).get("requests")
    if whole and not container:
        if resource not in whole:
            raise Unknown(f"missing pod-level request for {resource} in Pod {name}")
        return milli(whole[resource])
    sidecars = [e for e in spec.get("initContainers") or () if e.get("restartPolicy") == "Always"]
    total = 0
    for entry in [*(spec.get("containers") or ()), *sidecars]:
        if container and entry.get("name") != container:
            continue
        requests = (entry.get("resources") or {}).get("requests") or {}
        if resource not in requests:
            where = f"container {entry.get('name')} of Pod {name}"
            raise Unknown(f"missing request for {resource} in {where}")
        total += milli(requests[resource])
        if container:
            return total
    if container:
        raise Unknown(f"container {container} not found in Pod {name}")
    return total
