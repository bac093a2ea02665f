"""Which requests webhooks and policies are about: rules and ``matchResources``."""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.spec import members, one_of
from cloudwright.model.objects import Object

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")


def match_defaults(match: Object) -> None:
    """Defaults of ``matchResources`` and ``matchConstraints``."""
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for key in ("resourceRules", "excludeResourceRules"):
        for rule in members(match, key):
            rule.setdefault("scope", "*")


def match_errors(match: Object, path: str) -> list[FieldError]:
    """What is wrong with ``matchResources`` or ``matchConstraints``."""
    found = one_of(match, path, "matchPolicy", ("Equivalent", "Exact"))
    for key in ("namespaceSelector", "objectSelector"):
        found += labels.selector_errors(match.get(key), f"{path}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(members(match, key)):
            found += rule_errors(rule, f"{path}.{key}[{index}]")
    return found


def rule_errors(rule: Object, path: str) -> list[FieldError]:
    """What is wrong with a rule with operations."""
    operations = members(rule, "operations")
    found: list[FieldError] = [] if operations else [fields.required(f"{path}.operations")]
    found += _alone(operations, f"{path}.operations", "operations")
    for index, one in enumerate(operations):
        if one not in _OPERATIONS:
            where = f"{path}.operations[{index}]"
            found.append(fields.not_supported(where, one, _OPERATIONS))
    for key, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = members(rule, key)
        if not values:
            found.append(fields.required(f"{path}.{key}"))
        found += _alone(values, f"{path}.{key}", what)
    for index, version in enumerate(members(rule, "apiVersions")):
        if not version:
            found.append(fields.required(f"{path}.apiVersions[{index}]"))
    found += _resource_errors(members(rule, "resources"), f"{path}.resources")
    return found + one_of(rule, path, "scope", _SCOPES)


def _alone(values: list[Any], path: str, what: str) -> list[FieldError]:
    if "*" not in values or len(values) < 2:
        return []
    message = f"if '*' is present, must not specify other {what}"
    return [fields.invalid(path, values, message)]


def _resource_errors(values: list[Any], path: str) -> list[FieldError]:
    if not values:
        return [fields.required(path)]
    found = [fields.required(f"{path}[{at}]") for at, one in enumerate(values) if not one]
    if len(values) > 1 and "*/*" in values:
        message = "if '*/*' is present, must not specify other resources"
        found.append(fields.invalid(path, values, message))
    # As upstream: only the last resource without a subresource counts.
    last = next((one for one in reversed(values) if "/" not in str(one)), "*")
    if "*" in values and last != "*":
        message = "if '*' is present, must not specify other resources without subresources"
        found.append(fields.invalid(path, values, message))
    return found
