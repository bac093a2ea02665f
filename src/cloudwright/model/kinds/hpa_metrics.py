"""The metrics of a HorizontalPodAutoscaler and what it scales."""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, quantities
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.spec import mapping
from cloudwright.model.objects import Object

_SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
_TARGETS = ("AverageValue", "Utilization", "Value")


def reference_errors(reference: Object, path: str, *, grouped: bool = False) -> list[FieldError]:
    """What is wrong with a reference to an object; ``grouped``: it must name an API group."""
    found = [fields.required(f"{path}.{k}") for k in ("kind", "name") if not reference.get(k)]
    version = str(reference.get("apiVersion") or "")
    if version.count("/") > 1:
        message = f"unexpected GroupVersion string: {version}"
        found.append(fields.invalid(f"{path}.apiVersion", version, message))
    elif grouped and "/" not in version:
        message = "apiVersion must specify API group"
        found.append(fields.invalid(f"{path}.apiVersion", version, message))
    return found


def errors(metrics: list[Any], path: str) -> list[FieldError]:
    """What is wrong with a list of metrics."""
    found: list[FieldError] = []
    for index, metric in enumerate(metrics):
        found += _metric_errors(metric, f"{path}[{index}]")
    return found


def _metric_errors(metric: Object, path: str) -> list[FieldError]:
    kind = str(metric.get("type") or "")
    found: list[FieldError] = []
    if not kind:
        found.append(fields.required(f"{path}.type", "must specify a metric source type"))
    if kind not in _SOURCES:
        found.append(fields.not_supported(f"{path}.type", kind, sorted(_SOURCES)))
    present = [name for name in _SOURCES.values() if metric.get(name) is not None]
    if present:
        found += _source_errors(present[0], metric[present[0]], f"{path}.{present[0]}")
    expected = _SOURCES.get(kind, "")
    if expected and expected not in present:
        message = "must populate information for the given metric source"
        found.append(fields.required(f"{path}.{expected}", message))
    if len(present) != 1:
        message = "must populate the given metric source only"
        others = [name for name in present if name != expected]
        found += [fields.forbidden(f"{path}.{name}", message) for name in others]
    return found


def _source_errors(name: str, source: Object, path: str) -> list[FieldError]:
    target = mapping(source, "target")
    found: list[FieldError] = []
    if name in ("resource", "containerResource"):
        if not source.get("name"):
            found.append(fields.required(f"{path}.name", "must specify a resource name"))
        if name == "containerResource" and not source.get("container"):
            found.append(fields.required(f"{path}.container", "must specify a container"))
        found += _target_errors(target, f"{path}.target")
        return found + _resource_target(target, f"{path}.target")
    metric = mapping(source, "metric")
    if not metric.get("name"):
        found.append(fields.required(f"{path}.metric.name", "must specify a metric name"))
    found += labels.selector_errors(metric.get("selector"), f"{path}.metric.selector")
    found += _target_errors(target, f"{path}.target")
    value, average = target.get("value"), target.get("averageValue")
    if name == "object":
        found += reference_errors(mapping(source, "describedObject"), f"{path}.describedObject")
    if name == "pods" and average is None:
        message = "must specify a positive target averageValue"
        found.append(fields.required(f"{path}.target.averageValue", message))
    elif name != "pods" and value is None and average is None:
        what = "either a target value or averageValue" if name == "object" else None
        message = f"must set {what or 'either a target value for metric or a per-pod target'}"
        found.append(fields.required(f"{path}.target.averageValue", message))
    if name == "external" and value is not None and average is not None:
        message = "may not set both a target value for metric and a per-pod target"
        found.append(fields.forbidden(f"{path}.target.value", message))
    return found


def _resource_target(target: Object, path: str) -> list[FieldError]:
    percent, average = target.get("averageUtilization"), target.get("averageValue")
    if percent is None and average is None:
        message = "must set either a target raw value or a target utilization"
        return [fields.required(f"{path}.averageUtilization", message)]
    if percent is not None and average is not None:
        message = "may not set both a target raw value and a target utilization"
        return [fields.forbidden(f"{path}.averageValue", message)]
    return []


def _target_errors(target: Object, path: str) -> list[FieldError]:
    kind = target.get("type")
    found: list[FieldError] = []
    if not kind:
        message = "must specify a metric target type"
        found.append(fields.required(f"{path}.type", message))
    elif kind not in _TARGETS:
        message = "must be either Utilization, Value, or AverageValue"
        found.append(fields.invalid(f"{path}.type", kind, message))
    for key in ("value", "averageValue"):
        value = target.get(key)
        if value is not None and not quantities.problems(value) and quantities.parse(value) <= 0:
            found.append(fields.invalid(f"{path}.{key}", value, "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        message = "must be greater than 0"
        found.append(fields.invalid(f"{path}.averageUtilization", percent, message))
    return found
