"""DaemonSet: one pod on each node."""

from __future__ import annotations

from cloudwright.model import fields, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import defaults, labels
from cloudwright.model.kinds.deployment import percent_errors
from cloudwright.model.kinds.pod import template_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, not_negative, unchanged
from cloudwright.model.objects import Object

_STRATEGIES = ("RollingUpdate", "OnDelete")
_GENERATION = "deprecated.daemonset.template.generation"


def _defaults(daemon_set: Object) -> None:
    spec = daemon_set.setdefault("spec", {})
    defaults.template(spec)
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def _begin(daemon_set: Object) -> None:
    annotations = daemon_set["metadata"].setdefault("annotations", {})
    annotations.setdefault(_GENERATION, "1")


def _keep(new: Object, old: Object) -> None:
    """The template's generation is counted by the server, in an annotation."""
    before = str((old["metadata"].get("annotations") or {}).get(_GENERATION) or "0")
    number = int(before) if before.isdigit() else 0
    spec, was = mapping(new, "spec"), mapping(old, "spec")
    if spec.get("template") != was.get("template"):
        number += 1
    if number:
        new["metadata"].setdefault("annotations", {})[_GENERATION] = str(number)


def _strategy_errors(strategy: Object) -> list[FieldError]:
    path = "spec.updateStrategy"
    kind = strategy.get("type")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [fields.not_supported(path, strategy, _STRATEGIES)]
    rolling, path = mapping(strategy, "rollingUpdate"), f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    found = percent_errors(unavailable, f"{path}.maxUnavailable")
    found += percent_errors(surge, f"{path}.maxSurge")
    none = (0, "0%")
    if unavailable not in none and surge not in none:
        message = "may not be set when maxUnavailable is non-zero"
        found.append(fields.invalid(f"{path}.maxSurge", surge, message))
    elif unavailable in none and surge in none:
        found.append(fields.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return found


def _check(daemon_set: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(daemon_set, "spec")
    selector, template = spec.get("selector"), mapping(spec, "template")
    found = unchanged(spec, old and mapping(old, "spec"), "spec", "selector")
    found += labels.selector_errors(selector, "spec.selector")
    found += labels.template_matches(selector, template, "spec.template")
    if selector is not None and labels.is_empty(selector):
        message = "empty selector is invalid for daemonset"
        found.append(fields.invalid("spec.selector", selector, message))
    found += template_errors(template, "spec.template", "DaemonSet")
    found += not_negative(spec, "spec", "minReadySeconds")
    found += _strategy_errors(mapping(spec, "updateStrategy"))
    return found + not_negative(spec, "spec", "revisionHistoryLimit")


def _status(_daemon_set: Object) -> Object:
    zeros = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled")
    return dict.fromkeys((*zeros, "numberReady"), 0)


SPEC = KindSpec(resources.DAEMON_SET, _defaults, _check, _status, begin=_begin, keep=_keep)
