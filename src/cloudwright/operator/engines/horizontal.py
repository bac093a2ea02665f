"""A HorizontalPodAutoscaler: how many replicas its metrics ask for, and what is said about it.

Source: kubernetes ``pkg/controller/podautoscaler/horizontal.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.model.quantities import format_bytes
from cloudwright.operator.engines import replicas
from cloudwright.operator.engines.replicas import Proposal, Sample, Unknown, milli
from cloudwright.operator.engines.scaling import Behavior, History, settle
from cloudwright.operator.engines.templates import copy

Measured = Mapping[str, Sample] | Sequence[int]
"""One metric: samples by pod, or values of an object or of something outside (thousandths)."""
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """What the target's ``scale`` says: the wish, and how many there are."""

    wished: int
    running: int


@dataclass(frozen=True, slots=True)
class World:
    """What one look depends on."""

    autoscaler: Object
    scale: Scale
    pods: Sequence[Object]
    """All pods that the target's selector finds."""
    measured: Sequence[Measured | str]
    """For each metric of the spec: what was measured, or why it was not."""
    now: datetime


@dataclass(slots=True)
class Decision:
    """The wished number of replicas (``None``: leave it), why, and the status that says so."""

    replicas: int | None
    status: Object
    reason: str = ""
    notes: list[tuple[str, str, str]] = field(default_factory=list)


def needs_measures(autoscaler: Object, scale: Scale) -> bool:
    """Whether the metrics matter: not for a target at zero or out of its bounds."""
    least, most = bounds(autoscaler)
    return scale.wished != 0 and least <= scale.wished <= most


def bounds(autoscaler: Object) -> tuple[int, int]:
    """The fewest and the most replicas."""
    spec, least = autoscaler["spec"], autoscaler["spec"].get("minReplicas")
    return 1 if least is None else int(least), int(spec["maxReplicas"])


def decide(world: World, history: History) -> Decision:
    """One look. ``history`` is brought up to date, but for the change itself (``scaled``)."""
    autoscaler, current, now = world.autoscaler, world.scale.wished, world.now
    status = begun(autoscaler, now)
    found = Decision(None, status)
    history.begin(now, current)
    least, most = bounds(autoscaler)
    shown: list[Object] = []
    if current == 0:
        text = "scaling is disabled since the replica count of the target is zero"
        _say(status, "ScalingActive", "False", "ScalingDisabled", text, now)
    elif current > most:
        found.replicas, found.reason = most, "Current number of replicas above Spec.MaxReplicas"
    elif current < least:
        found.replicas, found.reason = least, "Current number of replicas below Spec.MinReplicas"
    else:
        behavior = Behavior.of(autoscaler["spec"])
        asked = _asked(world, behavior, found, shown)
        if asked is None:
            status["currentReplicas"] = current
            status["desiredReplicas"] = (autoscaler.get("status") or {}).get("desiredReplicas", 0)
            return _shown(found, shown)
        settled = settle(behavior, (least, most), current, asked, history, now)
        _say(status, "AbleToScale", "True", *settled.able, now)
        _say(status, "ScalingLimited", str(settled.limited), *settled.limit, now)
        found.replicas = settled.replicas if settled.replicas != current else None
    status["currentReplicas"] = current
    status["desiredReplicas"] = current if found.replicas is None else found.replicas
    return _shown(found, shown)


def _shown(found: Decision, metrics: list[Object]) -> Decision:
    found.status["currentMetrics"] = metrics
    if not metrics:
        del found.status["currentMetrics"]
    return found


def begun(autoscaler: Object, now: datetime) -> Object:
    """A new status once the target's scale is read; conditions and the last change are kept."""
    before = autoscaler.get("status") or {}
    status: Object = {"conditions": copy({"x": before.get("conditions") or []})["x"]}
    if before.get("lastScaleTime"):
        status["lastScaleTime"] = before["lastScaleTime"]
    text = "the HPA controller was able to get the target's current scale"
    _say(status, "AbleToScale", "True", "SucceededGetScale", text, now)
    return status


def scaled(found: Decision, history: History, current: int, now: datetime) -> None:
    """The target has the new size."""
    wished = found.replicas or 0
    text = f"the HPA controller was able to update the target scale to {wished}"
    _say(found.status, "AbleToScale", "True", "SucceededRescale", text, now)
    found.status["lastScaleTime"] = rfc3339(now)
    history.scaled(now, wished - current)
    text = f"New size: {wished}; reason: {found.reason}"
    found.notes.append(("Normal", "SuccessfulRescale", text))


def not_scaled(found: Decision, before: Object, problem: str, now: datetime) -> None:
    """The target refused the new size."""
    text = f"the HPA controller was unable to update the target scale: {problem}"
    _say(found.status, "AbleToScale", "False", "FailedUpdateScale", text, now)
    found.status["desiredReplicas"] = (before.get("status") or {}).get("desiredReplicas", 0)
    text = f"New size: {found.replicas}; reason: {found.reason}; error: {problem}"
    found.notes.append(("Warning", "FailedRescale", text))


def unreachable(autoscaler: Object, problem: str, now: datetime) -> Object:
    """The status when the target's scale cannot be read."""
    status = copy(autoscaler.get("status") or {})
    text = f"the HPA controller was unable to get the target's current scale: {problem}"
    _say(status, "AbleToScale", "False", "FailedGetScale", text, now)
    return status


def inactive(status: Object, reason: str, message: str, now: datetime) -> None:
    """Say that no metric can be looked at."""
    _say(status, "ScalingActive", "False", reason, message, now)


# -- metrics


def _asked(world: World, behavior: Behavior, found: Decision, shown: list[Object]) -> int | None:
    """The largest number that a metric asks for; while one is missing there are never fewer."""
    metrics, current = world.autoscaler["spec"].get("metrics") or (), world.scale.wished
    problems: list[tuple[str, str, str]] = []
    best, name = 0, ""
    for metric, measured in zip(metrics, world.measured, strict=True):
        try:
            proposal = _proposal(world, behavior, metric, measured)
        except Unknown as error:
            reason = f"FailedGet{metric['type']}Metric"
            found.notes.append(("Warning", reason, str(error)))
            problems.append((reason, str(error), _whose(metric)))
            continue
        shown.append(_entry(metric, proposal))
        if best == 0 or proposal.replicas > best:
            best, name = proposal.replicas, _name(metric)
    count, first = len(metrics), problems[0] if problems else ("", "", "")
    if len(problems) >= count or (problems and best < current):
        text = f"the HPA was unable to compute the replica count: {first[1]}"
        _say(found.status, "ScalingActive", "False", first[0], text, world.now)
        text = (
            f"invalid metrics ({len(problems)} invalid out of {count}), first error is: failed to"
        )
        text = f"{text} get {first[2]} value: {first[1]}"
        found.notes.append(("Warning", "FailedComputeMetricsReplicas", text))
        return None
    text = f"the HPA was able to successfully calculate a replica count from {name}"
    _say(found.status, "ScalingActive", "True", "ValidMetricFound", text, world.now)
    if best > current:
        found.reason = f"{name} above target"
    elif best < current:
        found.reason = "All metrics below target"
    return best


def _proposal(
    world: World, behavior: Behavior, metric: Mapping[str, Any], measured: Measured | str
) -> Proposal:
    kind, source = metric["type"], metric[_SOURCES[metric["type"]]]
    target, current, pods = source["target"], world.scale.wished, world.pods
    prefix = _prefix(kind, source, target)
    if isinstance(measured, str):
        raise Unknown(prefix + measured)
    try:
        if isinstance(measured, Mapping):
            name = source.get("name", "")
            if target.get("averageValue") is not None:
                wanted = milli(target["averageValue"])
                return replicas.by_use(
                    behavior, current, wanted, pods, measured, world.now, cpu=name == "cpu"
                )
            return replicas.by_utilization(
                behavior, current, int(target["averageUtilization"]), pods, measured, world.now,
                resource=name, container=source.get("container", ""),
            )  # fmt: skip
        usage = min(sum(measured), 2**63 - 1)
        if target.get("averageValue") is not None:
            wanted = milli(target["averageValue"])
            return replicas.by_share(behavior, world.scale.running, wanted, usage)
        return replicas.by_total(behavior, current, milli(target["value"]), usage, pods)
    except Unknown as error:
        raise Unknown(prefix + str(error)) from None


def _prefix(kind: str, source: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    if kind in ("Resource", "ContainerResource"):
        what = "usage" if target.get("averageValue") is not None else "utilization"
        return f"failed to get {source['name']} {what}: "
    name, mean = source["metric"]["name"], target.get("averageValue") is not None
    if kind == "External":
        return (
            f"failed to get {name} external metric: "
            if mean
            else (f"failed to get external metric {name}: ")
        )
    return f"failed to get {name} object metric: " if kind == "Object" and mean else ""


def _whose(metric: Mapping[str, Any]) -> str:
    kind, source = metric["type"], metric[_SOURCES[metric["type"]]]
    if kind == "Resource":
        return f"{source['name']} resource metric"
    if kind == "ContainerResource":
        return f"{source['container']} container metric"
    return (
        f"{source['metric']['name']} external metric"
        if kind == "External"
        else (f"{kind.lower()} metric")
    )


def _name(metric: Mapping[str, Any]) -> str:
    """What a metric is called when it decides."""
    kind, source = metric["type"], metric[_SOURCES[metric["type"]]]
    if kind in ("Resource", "ContainerResource"):
        if source["target"].get("averageValue") is not None:
            return f"{source['name']} resource"
        word = "container resource" if kind == "ContainerResource" else "resource"
        return f"{source['name']} {word} utilization (percentage of request)"
    name = source["metric"]["name"]
    if kind == "Pods":
        return f"pods metric {name}"
    if kind == "Object" and source["target"].get("averageValue") is None:
        return f"{source['describedObject']['kind']} metric {name}"
    return f"external metric {name}({_selector(source['metric'].get('selector'))})"


def _selector(selector: Mapping[str, Any] | None) -> str:
    """As Go prints a pointer to a ``LabelSelector``."""
    if selector is None:
        return "nil"
    labels = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    needs = "".join(
        "LabelSelectorRequirement{"
        f"Key:{one.get('key')},Operator:{one.get('operator')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{needs}}},}}"
    )


def _entry(metric: Mapping[str, Any], proposal: Proposal) -> Object:
    """The entry of ``currentMetrics``."""
    kind, key = metric["type"], _SOURCES[metric["type"]]
    source = metric[key]
    now: Object = {}
    if kind in ("Resource", "ContainerResource"):
        show = _memory if source["name"] == "memory" else quantity
        now["averageValue"] = show(proposal.value)
        if proposal.percent is not None:
            now["averageUtilization"] = proposal.percent
        kept = {k: source[k] for k in ("name", "container") if k in source}
        return {"type": kind, key: {**kept, "current": now}}
    mean = kind == "Pods" or source["target"].get("averageValue") is not None
    now["averageValue" if mean else "value"] = quantity(proposal.value)
    kept = {k: source[k] for k in ("metric", "describedObject") if k in source}
    return {"type": kind, key: {**kept, "current": now}}


def quantity(thousandths: int) -> str:
    """A number of thousandths as the API spells it: ``1500`` → ``1500m``, ``2000000`` → ``2k``."""
    if thousandths % 1000 or not thousandths:
        return f"{thousandths}m" if thousandths else "0"
    number, suffixes = thousandths // 1000, iter("kMGTPE")
    suffix = ""
    while number % 1000 == 0 and (larger := next(suffixes, "")):
        number, suffix = number // 1000, larger
    return f"{number}{suffix}"


def _memory(thousandths: int) -> str:
    small = abs(thousandths) < 1024_000
    return (
        quantity(thousandths) if thousandths % 1000 or small else format_bytes(thousandths // 1000)
    )


def _say(status: Object, kind: str, value: str, reason: str, text: str, now: datetime) -> None:
    state: conditions.Status = "True" if value == "True" else "False"
    status["conditions"] = conditions.set_condition(
        status.get("conditions"), kind, state, reason, text, now
    )
