"""LimitRange and ResourceQuota: how much a pod, and a namespace, may take."""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, names, quantities, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, wrong
from cloudwright.model.objects import Object

_SCOPES = (
    *("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating"),
    *("PriorityClass", "Terminating", "VolumeAttributesClass"),
)
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")
_KINDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _defaults(limits: Object) -> None:
    for item in members(limits.setdefault("spec", {}), "limits"):
        if item.get("type") != "Container":
            continue
        default = {**mapping(item, "max"), **mapping(item, "default")}
        request = {**mapping(item, "min"), **default, **mapping(item, "defaultRequest")}
        for key, value in (("default", default), ("defaultRequest", request)):
            if value:
                item[key] = value


def _amounts(given: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for name, value in given.items():
        found += wrong(f"{path}[{name}]", name, names.qualified_name_problems(name))
        found += wrong(f"{path}[{name}]", value, quantities.problems(value))
    return found


def _check(limits: Object, _old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[Any] = set()
    for index, item in enumerate(members(mapping(limits, "spec"), "limits")):
        path, kind = f"spec.limits[{index}]", str(item.get("type") or "")
        found += wrong(f"{path}.type", kind, names.qualified_name_problems(kind))
        if kind in seen:
            found.append(fields.duplicate(f"{path}.type", kind))
        seen.add(kind)
        for key in _KINDS:
            found += _amounts(mapping(item, key), f"{path}.{key}")
        if kind == "Pod":
            for key in ("default", "defaultRequest"):
                if mapping(item, key):
                    message = "may not be specified when `type` is 'Pod'"
                    found.append(fields.forbidden(f"{path}.{key}", message))
        if kind == "PersistentVolumeClaim" and not (
            "storage" in mapping(item, "min") or "storage" in mapping(item, "max")
        ):
            message = (
                "either minimum or maximum storage value is required, but neither was provided"
            )
            found.append(fields.required(f"{path}.limits", message))
        if not any(error.reason == "Invalid" for error in found):
            found += _order_errors(item, path)
    return found


_ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    (
        *("min", "defaultRequest", "defaultRequest", "defaultRequest"),
        "min value {} is greater than default request value {}",
    ),
    (
        *("defaultRequest", "max", "defaultRequest", "defaultRequest"),
        "default request value {} is greater than max value {}",
    ),
    (
        *("defaultRequest", "default", "defaultRequest", "defaultRequest"),
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)
"""Lower one, higher one, the field and the value that the error shows, its words."""


def _order_errors(item: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    keys = ("max", "min", "maxLimitRequestRatio") if item.get("type") == "Pod" else _KINDS
    names_ = sorted({name for key in keys for name in mapping(item, key)})
    for name in names_:
        values = {key: mapping(item, key)[name] for key in keys if name in mapping(item, key)}
        for low, high, where, shown, words in _ORDER:
            if low not in values or high not in values:
                continue
            if quantities.parse(values[low]) > quantities.parse(values[high]):
                message = words.format(values[low], values[high])
                found.append(fields.invalid(f"{path}.{where}[{name}]", values[shown], message))
        ratio = values.get("maxLimitRequestRatio")
        if ratio is not None and quantities.parse(ratio) < 1:
            where, message = f"{path}.maxLimitRequestRatio[{name}]", f"ratio {ratio} is less than 1"
            found.append(fields.invalid(where, ratio, message))
    return found


_HUGE = ("hugepages-", "requests.hugepages-")
_COUNTED = frozenset(
    {
        *("cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory"),
        *("requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory"),
        *("limits.ephemeral-storage", "pods", "resourcequotas", "services"),
        *("replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps"),
        *("services.nodeports", "services.loadbalancers"),
    }
)


def _check_quota(quota: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(quota, "spec")
    found: list[FieldError] = []
    for name, value in mapping(spec, "hard").items():
        path = f"spec.hard[{name}]"
        found += wrong(path, name, names.qualified_name_problems(name))
        if "/" not in name and name not in _COUNTED and not name.startswith(_HUGE):
            found.append(fields.invalid(path, name, "must be a standard resource for quota"))
        problems = quantities.problems(value)
        found += wrong(path, value, problems)
        if not problems and quantities.parse(value) < 0:
            message = "must be greater than or equal to 0"
            found.append(fields.invalid(path, value, message))
    scopes = members(spec, "scopes")
    bad = [scope for scope in scopes if scope not in _SCOPES]
    if bad:
        found.append(fields.invalid("spec.scopes", scopes, "unsupported scope"))
    for first, second in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if first in scopes and second in scopes:
            found.append(fields.invalid("spec.scopes", scopes, "conflicting scopes"))
    for index, one in enumerate(members(mapping(spec, "scopeSelector"), "matchExpressions")):
        path = f"spec.scopeSelector.matchExpressions[{index}]"
        if one.get("scopeName") not in _SCOPES:
            message = "unsupported scope"
            found.append(fields.invalid(f"{path}.scopeName", one.get("scopeName"), message))
        if one.get("operator") not in _OPERATORS:
            message = "not a valid selector operator"
            found.append(fields.invalid(f"{path}.operator", one.get("operator"), message))
    if old is not None and set(scopes) != set(members(mapping(old, "spec"), "scopes")):
        found.append(fields.invalid("spec.scopes", scopes, "field is immutable"))
    return found


RANGE = KindSpec(resources.LIMIT_RANGE, _defaults, _check)
QUOTA = KindSpec(resources.RESOURCE_QUOTA, check=_check_quota, initial_status=lambda _q: {})
