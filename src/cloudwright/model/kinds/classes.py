"""PriorityClass and RuntimeClass: how important pods are, and what runs them."""

from __future__ import annotations

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.spec import KindSpec, mapping, one_of, unchanged, wrong
from cloudwright.model.objects import Object, name_of

_SYSTEM, _USER_MAX = "system-", 1_000_000_000
SYSTEM_PRIORITIES = {
    "system-node-critical": 2_000_001_000,
    "system-cluster-critical": 2_000_000_000,
}
"""The classes that every cluster has, and their values."""


def _defaults(priority: Object) -> None:
    priority.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _check(priority: Object, old: Object | None) -> list[FieldError]:
    value, name = priority.get("value") or 0, name_of(priority)
    if old is not None:
        found: list[FieldError] = []
        if value != (old.get("value") or 0):
            found.append(fields.forbidden("value", "may not be changed in an update."))
        return found + unchanged(priority, old, "", "preemptionPolicy")
    found = []
    if name.startswith(_SYSTEM):
        problem = _system_problem(name, value, bool(priority.get("globalDefault")))
        if problem:
            message = (
                f"priority class names with '{_SYSTEM}' prefix are reserved for system use only. "
                f"error: {problem}"
            )
            found.append(fields.forbidden("metadata.name", message))
    elif value > _USER_MAX:
        message = f"maximum allowed value of a user defined priority is {_USER_MAX}"
        found.append(fields.forbidden("value", message))
    choices = ("PreemptLowerPriority", "Never")
    return found + one_of(priority, "", "preemptionPolicy", choices)


def _system_problem(name: str, value: int, default: bool) -> str:
    wanted = SYSTEM_PRIORITIES.get(name)
    if wanted is None:
        return f"{name} is not a known system priority class"
    if value != wanted:
        return f"value of {name} PriorityClass must be {wanted}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def _check_runtime(runtime: Object, old: Object | None) -> list[FieldError]:
    handler = str(runtime.get("handler") or "")
    if not handler:
        found = [fields.required("handler")]
    else:
        found = wrong("handler", handler, names.dns_label_problems(handler))
    selector = mapping(mapping(runtime, "scheduling"), "nodeSelector")
    found += labels.label_errors(selector, "scheduling.nodeSelector")
    return found + unchanged(runtime, old, "", "handler")


PRIORITY = KindSpec(resources.PRIORITY_CLASS, _defaults, _check)
RUNTIME = KindSpec(resources.RUNTIME_CLASS, check=_check_runtime)
