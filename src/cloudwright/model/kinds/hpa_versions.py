"""HorizontalPodAutoscaler between ``autoscaling/v2`` (stored) and ``v1``. Pure.

``v1`` has one field for CPU use; everything else that ``v2`` can say travels in annotations, in the
forms that kube-apiserver gives them (pkg/apis/autoscaling/v1/conversion.go).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from cloudwright.model.objects import Object

CPU_UTILIZATION = 80
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _STATUSES = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
_CONDITIONS, _BEHAVIOR = f"{_PREFIX}conditions", f"{_PREFIX}behavior"
_ANNOTATIONS = (_METRICS, _STATUSES, _CONDITIONS, _BEHAVIOR)
_KINDS = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}
_RULE = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def cpu_metric(percent: int) -> Object:
    """The metric that ``v1``'s ``targetCPUUtilizationPercentage`` stands for."""
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def from_v2(stored: Object) -> Object:
    """A stored autoscaler as ``autoscaling/v1``."""
    spec, status = dict(stored.get("spec") or {}), dict(stored.get("status") or {})
    metrics, current = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    behavior, conditions = spec.pop("behavior", None), status.pop("conditions", None) or []
    percents = [p for m in metrics if (p := _cpu(m, "target")) is not None]
    if percents:
        spec["targetCPUUtilizationPercentage"] = percents[0]
    uses = [p for m in current if (p := _cpu(m, "current")) is not None]
    if uses:
        status["currentCPUUtilizationPercentage"] = uses[-1]
    kept = {
        _METRICS: [_old_metric(m) for m in metrics if _cpu(m, "target") is None],
        _STATUSES: [_old_status(m) for m in current],
        _BEHAVIOR: behavior and _capital_behavior(behavior),
        _CONDITIONS: conditions,
    }
    metadata = _without_annotations(stored["metadata"])
    texts = {name: _json(value) for name, value in kept.items() if value}
    if texts:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **texts}
    shown = {"apiVersion": "autoscaling/v1", "kind": stored["kind"], "metadata": metadata}
    shown["spec"] = spec
    if "status" in stored:
        shown["status"] = status
    return shown


def to_v2(given: Object) -> Object:
    """An ``autoscaling/v1`` autoscaler as it is stored."""
    spec, status = dict(given.get("spec") or {}), dict(given.get("status") or {})
    annotations = (given.get("metadata") or {}).get("annotations") or {}
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    others = _list_in(annotations, _METRICS)
    metrics = [_new_metric(m) for m in others] + ([cpu_metric(percent)] if percent else [])
    spec["metrics"] = metrics or [cpu_metric(CPU_UTILIZATION)]
    behavior = _value_in(annotations, _BEHAVIOR)
    if isinstance(behavior, dict) and behavior:
        spec["behavior"] = _small_behavior(behavior)
    use = status.pop("currentCPUUtilizationPercentage", None)
    if statuses := _list_in(annotations, _STATUSES):
        status["currentMetrics"] = [_new_status(m) for m in statuses]
    elif use is not None:
        current = {"averageUtilization": use}
        status["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "current": current}}
        ]
    if conditions := _list_in(annotations, _CONDITIONS):
        status["conditions"] = conditions
    stored = {"apiVersion": "autoscaling/v2", "kind": given["kind"]}
    stored["metadata"] = _without_annotations(given.get("metadata") or {})
    stored["spec"] = spec
    if "status" in given or status:
        stored["status"] = status
    return stored


def _cpu(metric: Mapping[str, Any], part: str) -> int | None:
    source = metric.get("resource") or {}
    if metric.get("type") != "Resource" or source.get("name") != "cpu":
        return None
    percent: int | None = (source.get(part) or {}).get("averageUtilization")
    return percent


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _value_in(annotations: Mapping[str, Any], name: str) -> Any:
    try:
        return json.loads(str(annotations.get(name) or "null"))
    except ValueError:
        return None  # as upstream: what cannot be read was not written by a conversion


def _list_in(annotations: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = _value_in(annotations, name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _without_annotations(metadata: Mapping[str, Any]) -> Object:
    out = copy.deepcopy(dict(metadata))
    annotations = out.get("annotations")
    if annotations and any(name in annotations for name in _ANNOTATIONS):
        left = {name: text for name, text in annotations.items() if name not in _ANNOTATIONS}
        out["annotations"] = left
        if not left:
            del out["annotations"]
    return out


def _present(**fields: Any) -> Object:
    return {name: value for name, value in fields.items() if value is not None}


def _old_metric(metric: Mapping[str, Any]) -> Object:
    """A ``v2`` metric in the words of ``v1`` (which only its annotation uses)."""
    kind = str(metric.get("type", ""))
    source = metric.get(_KINDS.get(kind, "")) or {}
    target, named = source.get("target") or {}, source.get("metric") or {}
    value, average = target.get("value"), target.get("averageValue")
    name, selector = named.get("name"), named.get("selector")
    if kind == "Object":
        old = _present(target=source.get("describedObject"), metricName=name)
        old |= _present(targetValue=value or "0", selector=selector, averageValue=average)
    elif kind == "Pods":
        old = _present(metricName=name, targetAverageValue=average or "0", selector=selector)
    elif kind == "External":
        old = _present(metricName=name, metricSelector=selector)
        old |= _present(targetValue=value, targetAverageValue=average)
    else:
        percent = target.get("averageUtilization")
        old = _present(name=source.get("name"), targetAverageUtilization=percent)
        old |= _present(targetAverageValue=average, container=source.get("container"))
    return {"type": kind, **({_KINDS[kind]: old} if kind in _KINDS else {})}


def _new_metric(metric: Mapping[str, Any]) -> Object:
    kind = str(metric.get("type", ""))
    old = metric.get(_KINDS.get(kind, "")) or {}
    if kind in ("Resource", "ContainerResource"):
        percent = old.get("targetAverageUtilization")
        target = _present(
            type="AverageValue" if percent is None else "Utilization",
            averageValue=old.get("targetAverageValue"),
            averageUtilization=percent,
        )
        new = _present(name=old.get("name"), target=target, container=old.get("container"))
        return {"type": kind, _KINDS[kind]: new}
    selector = old.get("metricSelector" if kind == "External" else "selector")
    named = _present(name=old.get("metricName"), selector=selector)
    if kind == "Object":
        average, value = old.get("averageValue"), old.get("targetValue")
        if average is not None and value in ("0", 0):
            value = None
        target = _present(type="Value" if average is None else "AverageValue", value=value)
        target |= _present(averageValue=average)
        new = {"describedObject": old.get("target") or {}, "target": target, "metric": named}
    elif kind == "Pods":
        target = _present(type="AverageValue", averageValue=old.get("targetAverageValue"))
        new = {"metric": named, "target": target}
    else:
        value, average = old.get("targetValue"), old.get("targetAverageValue")
        target = _present(type="AverageValue" if value is None else "Value", value=value)
        new = {"metric": named, "target": target | _present(averageValue=average)}
    return {"type": kind, **({_KINDS[kind]: new} if kind in _KINDS else {})}


def _old_status(metric: Mapping[str, Any]) -> Object:
    kind = str(metric.get("type", ""))
    source = metric.get(_KINDS.get(kind, "")) or {}
    current, named = source.get("current") or {}, source.get("metric") or {}
    value, average = current.get("value"), current.get("averageValue")
    name, selector = named.get("name"), named.get("selector")
    if kind == "Object":
        old = _present(target=source.get("describedObject"), metricName=name)
        old |= _present(currentValue=value or "0", selector=selector, averageValue=average)
    elif kind == "Pods":
        old = _present(metricName=name, currentAverageValue=average or "0", selector=selector)
    elif kind == "External":
        old = _present(metricName=name, metricSelector=selector)
        old |= _present(currentValue=value or "0", currentAverageValue=average)
    else:
        percent = current.get("averageUtilization")
        old = _present(name=source.get("name"), currentAverageUtilization=percent)
        old |= _present(currentAverageValue=average or "0", container=source.get("container"))
    return {"type": kind, **({_KINDS[kind]: old} if kind in _KINDS else {})}


def _new_status(metric: Mapping[str, Any]) -> Object:
    kind = str(metric.get("type", ""))
    old = metric.get(_KINDS.get(kind, "")) or {}
    if kind in ("Resource", "ContainerResource"):
        current = _present(
            averageValue=old.get("currentAverageValue"),
            averageUtilization=old.get("currentAverageUtilization"),
        )
        new = _present(name=old.get("name"), current=current, container=old.get("container"))
        return {"type": kind, _KINDS[kind]: new}
    selector = old.get("metricSelector" if kind == "External" else "selector")
    named = _present(name=old.get("metricName"), selector=selector)
    average = old.get("averageValue" if kind == "Object" else "currentAverageValue")
    current = _present(value=old.get("currentValue"), averageValue=average)
    new = {"metric": named, "current": current}
    if kind == "Object":
        new["describedObject"] = old.get("target") or {}
    return {"type": kind, **({_KINDS[kind]: new} if kind in _KINDS else {})}


def _capital_behavior(behavior: Mapping[str, Any]) -> Object:
    """As Go writes the type without JSON names: every field, capitalized."""
    return {
        _capital(name): None if behavior.get(name) is None else _capital_rule(behavior[name])
        for name in ("scaleUp", "scaleDown")
    }


def _capital_rule(rule: Mapping[str, Any]) -> Object:
    out: Object = {_capital(name): rule.get(name) for name in _RULE}
    if rule.get("policies") is not None:
        policies = rule["policies"]
        out["Policies"] = [{_capital(n): policy.get(n) for n in _POLICY} for policy in policies]
    return out


def _small_behavior(behavior: Mapping[str, Any]) -> Object:
    found = {name: behavior.get(_capital(name)) for name in ("scaleUp", "scaleDown")}
    return {name: _small_rule(rule) for name, rule in found.items() if isinstance(rule, dict)}


def _small_rule(rule: Mapping[str, Any]) -> Object:
    out: Object = {n: rule[_capital(n)] for n in _RULE if rule.get(_capital(n)) is not None}
    if isinstance(out.get("policies"), list):
        policies = [one for one in out["policies"] if isinstance(one, dict)]
        out["policies"] = [{n: p.get(_capital(n)) for n in _POLICY} for p in policies]
    return out


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
