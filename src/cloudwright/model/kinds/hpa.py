"""HorizontalPodAutoscaler: how many replicas there should be."""

from __future__ import annotations

import copy

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import hpa_metrics, hpa_versions
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of
from cloudwright.model.objects import Object

_WINDOW_MAX, _PERIOD_MAX = 3600, 1800
_SELECT, _TYPES = ("Disabled", "Max", "Min"), ("Percent", "Pods")
_PERCENT = {"type": "Percent", "value": 100, "periodSeconds": 15}
_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, _PERCENT],
}
_DOWN: Object = {"selectPolicy": "Max", "policies": [_PERCENT]}


def _defaults(autoscaler: Object) -> None:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not members(spec, "metrics"):
        spec["metrics"] = [hpa_versions.cpu_metric(hpa_versions.CPU_UTILIZATION)]
    behavior = spec.get("behavior")
    if behavior is not None:
        behavior["scaleUp"] = copy.deepcopy({**_UP, **mapping(behavior, "scaleUp")})
        behavior["scaleDown"] = copy.deepcopy({**_DOWN, **mapping(behavior, "scaleDown")})


def _defaults_v1(autoscaler: Object) -> None:
    autoscaler.setdefault("spec", {}).setdefault("minReplicas", 1)


def _check(autoscaler: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(autoscaler, "spec")
    found: list[FieldError] = []
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        message = "must be greater than or equal to 1"
        found.append(fields.invalid("spec.minReplicas", least, message))
    if most == 0:
        message = "must be set and greater than 0"
        found.append(fields.required("spec.maxReplicas", message))
    elif most < 0:
        message = "must be greater than or equal to 1"
        found.append(fields.invalid("spec.maxReplicas", most, message))
    if least is not None and most < least:
        message = "must be greater than or equal to `minReplicas`"
        found.append(fields.invalid("spec.maxReplicas", most, message))
    target = mapping(spec, "scaleTargetRef")
    found += hpa_metrics.reference_errors(target, "spec.scaleTargetRef", grouped=True)
    found += hpa_metrics.errors(members(spec, "metrics"), "spec.metrics")
    behavior = mapping(spec, "behavior")
    for key in ("scaleUp", "scaleDown"):
        if behavior.get(key) is not None:
            found += _rule_errors(behavior[key], f"spec.behavior.{key}")
    return found


def _rule_errors(rule: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    window, where = rule.get("stabilizationWindowSeconds"), f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        found.append(fields.invalid(where, window, "must be greater than or equal to zero"))
    if window is not None and window > _WINDOW_MAX:
        message = f"must be less than or equal to {_WINDOW_MAX}"
        found.append(fields.invalid(where, window, message))
    found += one_of(rule, path, "selectPolicy", _SELECT)
    policies = members(rule, "policies")
    if not policies:
        found.append(fields.required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        at = f"{path}.policies[{index}]"
        found += one_of(policy, at, "type", _TYPES)
        for key in ("value", "periodSeconds"):
            value = policy.get(key) or 0
            if value <= 0:
                found.append(fields.invalid(f"{at}.{key}", value, "must be greater than zero"))
        period = policy.get("periodSeconds") or 0
        if period > _PERIOD_MAX:
            message = f"must be less than or equal to {_PERIOD_MAX}"
            found.append(fields.invalid(f"{at}.periodSeconds", period, message))
    return found


def _check_v1(autoscaler: Object, old: Object | None) -> list[FieldError]:
    return _check(hpa_versions.to_v2(autoscaler), old and hpa_versions.to_v2(old))


SPEC = KindSpec(
    resources.HORIZONTAL_POD_AUTOSCALER, _defaults, _check, lambda _h: {"desiredReplicas": 0}
)
V1 = KindSpec(
    resources.HORIZONTAL_POD_AUTOSCALER_V1,
    _defaults_v1,
    _check_v1,
    lambda _h: {"currentReplicas": 0, "desiredReplicas": 0},
)
