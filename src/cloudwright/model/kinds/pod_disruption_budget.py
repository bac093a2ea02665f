"""PodDisruptionBudget: how many pods may be away at once."""

from __future__ import annotations

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.deployment import percent_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, one_of
from cloudwright.model.objects import Object

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def _check(budget: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(budget, "spec")
    found: list[FieldError] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        message = "minAvailable and maxUnavailable cannot be both set"
        found.append(fields.invalid("spec", spec, message))
    for key in ("minAvailable", "maxUnavailable"):
        if spec.get(key) is not None:
            found += percent_errors(spec[key], f"spec.{key}")
    found += labels.selector_errors(spec.get("selector"), "spec.selector")
    return found + one_of(spec, "spec", "unhealthyPodEvictionPolicy", _POLICIES)


def _status(_budget: Object) -> Object:
    return dict.fromkeys(
        ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0
    )


SPEC = KindSpec(resources.POD_DISRUPTION_BUDGET, check=_check, initial_status=_status)
