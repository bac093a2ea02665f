"""What may be written about a MicroService's roll-out and size: ``rollout``, ``autoscaling``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import durations, fields
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.deployment import surge_errors
from cloudwright.model.kinds.spec import mapping, members, positive
from cloudwright.model.objects import Object

CANARY_SUFFIX = "-canary"
_LONGEST_NAME = 63 - len(CANARY_SUFFIX)


def strategy_of(spec: Mapping[str, Any]) -> str:
    """``RollingUpdate``, ``Canary`` or ``BlueGreen``: as written, else ``Canary`` with steps."""
    rollout = spec.get("rollout") or {}
    return str(rollout.get("strategy") or ("Canary" if rollout.get("steps") else "RollingUpdate"))


def rollout_errors(spec: Mapping[str, Any], name: str) -> list[FieldError]:
    """What is wrong with ``spec.rollout`` of the MicroService ``name``."""
    rollout = mapping(spec, "rollout")
    numbers = {"maxSurge": 1, "maxUnavailable": 0, **rollout}
    found = surge_errors(numbers, "spec.rollout")
    found += positive(rollout, "spec.rollout", "progressDeadlineSeconds")
    found += _times(rollout, "spec.rollout", "bake")
    found += _times(mapping(rollout, "analysis"), "spec.rollout.analysis", "latency", "interval")
    strategy, steps = strategy_of(spec), members(rollout, "steps")
    if strategy == "Canary" and not steps:
        found.append(fields.required("spec.rollout.steps", "a canary needs at least one step"))
    if strategy != "Canary" and steps:
        message = f"only a Canary has steps, not a {strategy}"
        found.append(fields.forbidden("spec.rollout.steps", message))
    last = -1
    for index, step in enumerate(steps):
        where = f"spec.rollout.steps[{index}]"
        found += _times(step, where, "pause")
        weight = int(step.get("weight") or 0)
        if weight < last:
            message = f"must not be lower than the one before ({last})"
            found.append(fields.invalid(f"{where}.weight", weight, message))
        last = weight
    if strategy != "RollingUpdate" and len(name) > _LONGEST_NAME:
        message = f"must be no more than {_LONGEST_NAME} characters with strategy {strategy}"
        found.append(fields.invalid("metadata.name", name, message))
    return found


def autoscaling_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with ``spec.autoscaling``."""
    wish: Object = mapping(spec, "autoscaling")
    if not wish:
        return []
    path = "spec.autoscaling"
    found = positive(wish, path, "minReplicas", "maxReplicas", "cpu")
    least, most = int(wish.get("minReplicas") or 1), int(wish.get("maxReplicas") or 0)
    if not found and most < least:
        message = f"must not be less than minReplicas ({least})"
        found.append(fields.invalid(f"{path}.maxReplicas", most, message))
    if wish.get("requestsPerSecond") is None and wish.get("cpu") is None:
        found.append(fields.required(path, "give requestsPerSecond or cpu"))
    rate = wish.get("requestsPerSecond")
    if rate is not None and float(rate) <= 0:
        message = "must be greater than 0"
        found.append(fields.invalid(f"{path}.requestsPerSecond", rate, message))
    requests = mapping(mapping(spec, "resources"), "requests")
    if wish.get("cpu") is not None and not requests.get("cpu"):
        message = "spec.resources.requests.cpu must say what 100 per cent is"
        found.append(fields.invalid(f"{path}.cpu", wish["cpu"], message))
    return found + _times(wish, path, "scaleUpStabilization", "scaleDownStabilization")


def _times(holder: Mapping[str, Any], path: str, *keys: str) -> list[FieldError]:
    found = []
    for key in keys:
        value = holder.get(key)
        if value is None:
            continue
        try:
            negative = durations.parse(str(value)) < 0
        except ValueError as error:
            found.append(fields.invalid(f"{path}.{key}", value, str(error)))
        else:
            if negative:
                found.append(fields.invalid(f"{path}.{key}", value, "must not be negative"))
    return found
