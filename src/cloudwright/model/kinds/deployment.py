"""Deployment: roll-out strategy and its numbers."""

from __future__ import annotations

import re

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, not_negative, one_of, whole
from cloudwright.model.kinds.workloads import default_template, workload_errors
from cloudwright.model.objects import Object

_DEADLINE, _HISTORY = 600, 10


def percent_errors(value: object, path: str) -> list[FieldError]:
    """What is wrong with a number or a percentage up to ``"100%"``."""
    if isinstance(value, str):
        if re.fullmatch(r"[0-9]+%", value) is None:
            message = "a valid percent string must be a numeric string followed by an ending '%'"
            shown = f"{message} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            return [fields.invalid(path, value, shown)]
        if int(value[:-1]) > 100:
            return [fields.invalid(path, value, "must not be greater than 100%")]
    elif whole(value) and int(str(value)) < 0:
        message = "must be greater than or equal to 0"
        return [fields.invalid(path, value, message)]
    return []


def surge_errors(numbers: Object, path: str) -> list[FieldError]:
    """What is wrong with ``maxSurge`` and ``maxUnavailable``: numbers or ``"25%"``, not both 0."""
    surge, unavailable = numbers.get("maxSurge"), numbers.get("maxUnavailable")
    found: list[FieldError] = []
    if unavailable is not None:
        found += percent_errors(unavailable, f"{path}.maxUnavailable")
    if surge is not None:
        over = isinstance(surge, str) and surge[:-1].isdigit() and surge.endswith("%")
        found += [] if over else percent_errors(surge, f"{path}.maxSurge")
    if not found and _zero(surge) and _zero(unavailable):
        message = "may not be 0 when `maxSurge` is 0"
        found.append(fields.invalid(f"{path}.maxUnavailable", unavailable, message))
    return found


def _zero(value: object) -> bool:
    return value == 0 or (isinstance(value, str) and int(value[:-1]) == 0)


def _defaults(deployment: Object) -> None:
    spec = deployment.setdefault("spec", {})
    default_template(spec)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        numbers = strategy.get("rollingUpdate") or {}
        strategy["rollingUpdate"] = {"maxUnavailable": "25%", "maxSurge": "25%", **numbers}
    spec.setdefault("revisionHistoryLimit", _HISTORY)
    spec.setdefault("progressDeadlineSeconds", _DEADLINE)


def _check(deployment: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(deployment, "spec")
    strategy = mapping(spec, "strategy")
    found = workload_errors(deployment, old)
    found += not_negative(spec, "spec", "revisionHistoryLimit", "progressDeadlineSeconds")
    found += one_of(strategy, "spec.strategy", "type", ("Recreate", "RollingUpdate"))
    if strategy.get("type") == "Recreate":
        if strategy.get("rollingUpdate"):
            message = "may not be specified when strategy `type` is 'Recreate'"
            found.append(fields.forbidden("spec.strategy.rollingUpdate", message))
    else:
        found += surge_errors(mapping(strategy, "rollingUpdate"), "spec.strategy.rollingUpdate")
    deadline = spec.get("progressDeadlineSeconds")
    ready = int(spec.get("minReadySeconds") or 0)
    if whole(deadline) and int(deadline or 0) <= ready:
        message = "must be greater than minReadySeconds"
        found.append(fields.invalid("spec.progressDeadlineSeconds", deadline, message))
    return found


SPEC = KindSpec(resources.DEPLOYMENT, _defaults, _check)
