"""A HorizontalPodAutoscaler: how many replicas its metrics ask for, and how fast to get there.

Source: kubernetes ``pkg/controller/podautoscaler`` (``replica_calculator.go``, ``horizontal.go``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import Object, generation
from cloudwright.model.quantities import format_cpu, parse
from cloudwright.operator.engines.autoscale import TOLERANCE
from cloudwright.operator.engines.templates import copy

_DOWN_WINDOW = 300
_PERCENT: Mapping[str, Any] = {"type": "Percent", "value": 100, "periodSeconds": 15}
_UP: Mapping[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, _PERCENT],
}
_DOWN: Mapping[str, Any] = {"policies": [_PERCENT]}


@dataclass(slots=True)
class History:
    """What is remembered of one autoscaler: recommendations, changes ``(when, by how many)``."""

    advice: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured of the target's ready pods: cores used together, cores requested together, how
    many pods; ``None``: not known, and why.
    """

    cores: float | None
    requested: float
    pods: int
    problem: str = ""


@dataclass(slots=True)
class Decision:
    """The wished number of replicas (``None``: leave it), and the status that says why."""

    replicas: int | None
    status: Object
    notes: list[tuple[str, str, str]] = field(default_factory=list)


def decide(
    autoscaler: Object, current: int, usage: Usage, history: History, now: datetime
) -> Decision:
    """One look. ``history`` is brought up to date."""
    spec = autoscaler["spec"]
    status: Object = {
        "currentReplicas": current,
        "desiredReplicas": current,
        "observedGeneration": generation(autoscaler),
        "conditions": list((autoscaler.get("status") or {}).get("conditions") or ()),
    }
    before = autoscaler.get("status") or {}
    if before.get("lastScaleTime"):
        status["lastScaleTime"] = before["lastScaleTime"]
    found = Decision(None, status)
    if current == 0:
        text = "scaling is disabled since the replica count of the target is zero"
        _say(status, "ScalingActive", "False", "ScalingDisabled", text, now)
        return found
    wished, problem = _wished(spec, current, usage, status)
    if wished is None:
        _say(status, "ScalingActive", "False", "FailedGetResourceMetric", problem, now)
        found.notes.append(("Warning", "FailedGetResourceMetric", problem))
        return found
    text = "the HPA was able to successfully calculate a replica count from cpu resource usage"
    _say(status, "ScalingActive", "True", "ValidMetricFound", text, now)
    settled = _settle(spec, current, wished, history, now, status)
    status["desiredReplicas"] = settled
    if settled != current:
        found.replicas = settled
        status["lastScaleTime"] = rfc3339(now)
        history.changes.append((now, settled - current))
        text = f"New size: {settled}; reason: cpu resource usage {_side(settled, current)} target"
        found.notes.append(("Normal", "SuccessfulRescale", text))
        text = f"the HPA controller was able to update the target scale to {settled}"
        _say(status, "AbleToScale", "True", "SucceededRescale", text, now)
    else:
        text = "recommended size matches current size"
        _say(status, "AbleToScale", "True", "ReadyForNewScale", text, now)
    return found


def unreachable(autoscaler: Object, problem: str, now: datetime) -> Object:
    """The status when the target's scale cannot be read."""
    status = copy(autoscaler.get("status") or {})
    text = f"the HPA controller was unable to get the target's current scale: {problem}"
    _say(status, "AbleToScale", "False", "FailedGetScale", text, now)
    return status


def _side(settled: int, current: int) -> str:
    return "above" if settled > current else "below"


def _wished(
    spec: Mapping[str, Any], current: int, usage: Usage, status: Object
) -> tuple[int | None, str]:
    """The largest number that a metric asks for. While one is missing there are never fewer."""
    wishes: list[int] = []
    problems: list[str] = []
    shown: list[Object] = []
    for metric in spec.get("metrics") or ():
        ratio, problem, entry = _ratio(metric, usage)
        if entry:
            shown.append(entry)
        if ratio is None:
            problems.append(problem)
        elif abs(ratio - 1.0) <= TOLERANCE:
            wishes.append(current)
        else:
            wishes.append(ceil(ratio * usage.pods - 1e-9))
    if shown:
        status["currentMetrics"] = shown
    if not wishes:
        return None, "; ".join(problems) or "no metric is given"
    wished = max(wishes)
    return (max(wished, current) if problems else wished), ""


def _ratio(metric: Mapping[str, Any], usage: Usage) -> tuple[float | None, str, Object | None]:
    """Use over target; or why it is not known; and the entry of ``currentMetrics``."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        what = f"{metric.get('type')} metric {resource.get('name') or ''}".strip()
        return None, f"unable to get {what}: only Resource cpu is measured here", None
    if usage.cores is None or not usage.pods:
        why = usage.problem or "no pod is ready"
        return None, f"failed to get cpu utilization: unable to get metrics: {why}", None
    target, each = resource.get("target") or {}, usage.cores / usage.pods
    now: Object = {"averageValue": format_cpu(round(each * 1000))}
    entry: Object = {"type": "Resource", "resource": {"name": "cpu", "current": now}}
    if target.get("type") == "AverageValue":
        return each / float(parse(target["averageValue"])), "", entry
    if not usage.requested:
        return None, "failed to get cpu utilization: missing request for cpu", None
    share = usage.cores / usage.requested * 100
    now["averageUtilization"] = round(share)
    return share / float(target.get("averageUtilization") or 80), "", entry


def _settle(
    spec: Mapping[str, Any],
    current: int,
    wished: int,
    history: History,
    now: datetime,
    status: Object,
) -> int:
    """The wish within windows, rates and bounds."""
    behavior = spec.get("behavior") or {}
    up, down = (
        {**_UP, **(behavior.get("scaleUp") or {})},
        {**_DOWN, **(behavior.get("scaleDown") or {})},
    )
    up_window = up.get("stabilizationWindowSeconds") or 0
    down_window = down.get("stabilizationWindowSeconds")
    down_window = _DOWN_WINDOW if down_window is None else down_window
    history.advice.append((now, wished))
    keep = now - timedelta(seconds=max(up_window, down_window, 1))
    history.advice = [one for one in history.advice if one[0] >= keep]
    floor = max(n for at, n in history.advice if (now - at).total_seconds() <= down_window)
    ceiling = min(n for at, n in history.advice if (now - at).total_seconds() <= up_window)
    settled = ceiling if ceiling > current else floor if floor < current else current
    limits = (
        _limit(up, current, history, now, grow=True),
        _limit(down, current, history, now, grow=False),
    )
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    bounded = min(max(settled, limits[1]), limits[0])
    final = min(max(bounded, least), most)
    if final != settled:
        reason = "TooManyReplicas" if final < settled else "TooFewReplicas"
        word = "more than the maximum" if final < settled else "less than the minimum"
        text = f"the desired replica count is {word} replica count"
        if bounded != settled and final == bounded:
            reason = "ScaleUpLimit" if final < settled else "ScaleDownLimit"
            text = "the desired replica count changes faster than the behavior allows"
        _say(status, "ScalingLimited", "True", reason, text, now)
    else:
        text = "the desired count is within the acceptable range"
        _say(status, "ScalingLimited", "False", "DesiredWithinRange", text, now)
    return final


def _limit(
    rules: Mapping[str, Any], current: int, history: History, now: datetime, *, grow: bool
) -> int:
    """How far one step may go up or down, by policies over their periods."""
    if rules.get("selectPolicy") == "Disabled":
        return current
    limits = []
    for policy in rules.get("policies") or ():
        since = now - timedelta(seconds=int(policy["periodSeconds"]))
        moved = sum(by for at, by in history.changes if at > since and (by > 0) == grow)
        start, value = current - moved, int(policy["value"])
        if policy["type"] == "Pods":
            limits.append(start + value if grow else start - value)
        elif grow:
            limits.append(ceil(start * (1 + value / 100)))
        else:
            limits.append(int(start * (1 - value / 100)))
    longest = now - timedelta(seconds=1800)
    history.changes = [one for one in history.changes if one[0] > longest]
    if not limits:
        return current
    widest = (rules.get("selectPolicy") or "Max") == "Max"
    return max(limits) if grow == widest else min(limits)


def _say(status: Object, kind: str, value: str, reason: str, text: str, now: datetime) -> None:
    state: conditions.Status = "True" if value == "True" else "False"
    status["conditions"] = conditions.set_condition(
        status.get("conditions"), kind, state, reason, text, now
    )
