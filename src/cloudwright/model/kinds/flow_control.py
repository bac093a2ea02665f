"""FlowSchema and PriorityLevelConfiguration: which requests wait behind which."""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of, wrong
from cloudwright.model.objects import Object, name_of

_PRECEDENCE, _PRECEDENCE_MAX, _EXEMPT = 1000, 10_000, "exempt"
_QUEUES_MAX = 10_000_000
_VERBS = (
    *("apply", "connect", "create", "delete", "deletecollection", "get", "list", "patch"),
    *("proxy", "update", "watch"),
)
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def _schema_defaults(schema: Object) -> None:
    spec = schema.setdefault("spec", {})
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or _PRECEDENCE


def _check_schema(schema: Object, _old: Object | None) -> list[FieldError]:
    spec, path = mapping(schema, "spec"), "spec.matchingPrecedence"
    number = spec.get("matchingPrecedence") or 0
    found: list[FieldError] = []
    if number <= 0:
        found.append(fields.invalid(path, number, "must be a positive value"))
    if number > _PRECEDENCE_MAX:
        message = f"must not be greater than {_PRECEDENCE_MAX}"
        found.append(fields.invalid(path, number, message))
    if number == 1 and name_of(schema) != _EXEMPT:
        message = "only the schema named 'exempt' may have matchingPrecedence 1"
        found.append(fields.invalid(path, number, message))
    if (method := spec.get("distinguisherMethod")) is not None:
        choices = ("ByNamespace", "ByUser")
        if method.get("type") not in choices:
            where = "spec.distinguisherMethod.type"
            found.append(fields.not_supported(where, method, choices))
    level, where = mapping(spec, "priorityLevelConfiguration"), "spec.priorityLevelConfiguration"
    name = str(level.get("name") or "")
    if not name:
        found.append(fields.required(f"{where}.name", "must reference a priority level"))
    else:
        found += wrong(f"{where}.name", name, names.dns_subdomain_problems(name))
    for index, rule in enumerate(members(spec, "rules")):
        found += _rule_errors(rule, f"spec.rules[{index}]")
    return found


def _rule_errors(rule: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    if not members(rule, "subjects"):
        message = "subjects must contain at least one value"
        found.append(fields.required(f"{path}.subjects", message))
    for index, subject in enumerate(members(rule, "subjects")):
        found += _subject_errors(subject, f"{path}.subjects[{index}]")
    ours, urls = members(rule, "resourceRules"), members(rule, "nonResourceRules")
    if not ours and not urls:
        message = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(fields.required(path, message))
    for index, one in enumerate(ours):
        found += _resource_rule(one, f"{path}.resourceRules[{index}]")
    for index, one in enumerate(urls):
        where = f"{path}.nonResourceRules[{index}]"
        found += _verbs(members(one, "verbs"), f"{where}.verbs")
        message = "nonResourceURLs must contain at least one value"
        what = "non-resource URLs"
        found += _listed(one, where, "nonResourceURLs", message, what)
    return found


def _subject_errors(subject: Object, path: str) -> list[FieldError]:
    kind = str(subject.get("kind") or "")
    if kind not in _SUBJECTS:
        return [fields.not_supported(f"{path}.kind", kind, _SUBJECTS)]
    found: list[FieldError] = []
    key = _SUBJECTS[kind]
    who = subject.get(key)
    if who is None:
        message = f"{key} is required when subject kind is '{kind}'"
        found.append(fields.required(f"{path}.{key}", message))
    elif not who.get("name"):
        found.append(fields.required(f"{path}.{key}.name"))
    if kind == "ServiceAccount" and who is not None and not who.get("namespace"):
        message = "must specify namespace for service account"
        found.append(fields.required(f"{path}.{key}.namespace", message))
    for other, name in _SUBJECTS.items():
        if other != kind and subject.get(name) is not None:
            message = f"{name} is forbidden when subject kind is not '{other}'"
            found.append(fields.forbidden(f"{path}.{name}", message))
    return found


def _resource_rule(rule: Object, path: str) -> list[FieldError]:
    found = _verbs(members(rule, "verbs"), f"{path}.verbs")
    message = "resource rules must supply at least one api group"
    found += _listed(rule, path, "apiGroups", message, "api groups")
    message = "resource rules must supply at least one resource"
    found += _listed(rule, path, "resources", message, "resources")
    if not members(rule, "namespaces"):
        if not rule.get("clusterScope"):
            message = (
                "resource rules that are not cluster scoped must supply at least one namespace"
            )
            found.append(fields.required(f"{path}.namespaces", message))
        return found
    return found + _listed(rule, path, "namespaces", "", "namespaces")


def _verbs(verbs: list[Any], path: str) -> list[FieldError]:
    if not verbs:
        return [fields.required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        if len(verbs) == 1:
            return []
        message = "if '*' is present, must not specify other verbs"
        return [fields.invalid(path, verbs, message)]
    if all(verb in _VERBS for verb in verbs):
        return []
    return [fields.not_supported(path, verbs, _VERBS)]


def _listed(rule: Object, path: str, key: str, message: str, what: str) -> list[FieldError]:
    values = members(rule, key)
    if not values:
        return [fields.required(f"{path}.{key}", message)]
    if "*" in values and len(values) > 1:
        message = f"if '*' is present, must not specify other {what}"
        return [fields.invalid(f"{path}.{key}", values, message)]
    return []


def _level_defaults(level: Object) -> None:
    spec = level.setdefault("spec", {})
    if (exempt := spec.get("exempt")) is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if (limited := spec.get("limited")) is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = mapping(limited, "limitResponse").get("queuing")
        if queuing is not None:
            for key, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                queuing[key] = queuing.get(key) or value


def _check_level(level: Object, _old: Object | None) -> list[FieldError]:
    spec, name = mapping(level, "spec"), name_of(level)
    kind = str(spec.get("type") or "")
    found: list[FieldError] = []
    if (name == _EXEMPT) != (kind == "Exempt"):
        message = "must be 'Exempt' if and only if `name` is 'exempt'"
        found.append(fields.invalid("spec.type", kind, message))
    if kind == "Exempt":
        if spec.get("limited") is not None:
            message = "must be nil if the type is not Limited"
            found.append(fields.forbidden("spec.limited", message))
        return found + _share_errors(mapping(spec, "exempt"), "spec.exempt")
    if not kind:
        return [*found, fields.required("spec.type")]
    if kind != "Limited":
        return [*found, fields.not_supported("spec.type", kind, ("Exempt", "Limited"))]
    if spec.get("exempt") is not None:
        found.append(fields.forbidden("spec.exempt", "must be nil if the type is Limited"))
    limited = spec.get("limited")
    if limited is None:
        message = "must not be empty when type is Limited"
        return [*found, fields.required("spec.limited", message)]
    found += _share_errors(limited, "spec.limited")
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        message = "if specified, must be a non-negative integer"
        found.append(fields.invalid("spec.limited.borrowingLimitPercent", borrowed, message))
    response = mapping(limited, "limitResponse")
    return found + _response_errors(response, "spec.limited.limitResponse")


def _share_errors(shares: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    number, lent = shares.get("nominalConcurrencyShares"), shares.get("lendablePercent")
    if number is not None and number < 0:
        where = f"{path}.nominalConcurrencyShares"
        found.append(fields.invalid(where, number, "must be a non-negative integer"))
    if lent is not None and not 0 <= lent <= 100:
        message = "must be between 0 and 100, inclusive"
        found.append(fields.invalid(f"{path}.lendablePercent", lent, message))
    return found


def _response_errors(response: Object, path: str) -> list[FieldError]:
    kind, queuing = response.get("type"), response.get("queuing")
    if not kind:
        return [fields.required(f"{path}.type")]
    found = one_of(response, path, "type", ("Queue", "Reject"))
    if kind == "Reject" and queuing is not None:
        message = "must be nil if limited.limitResponse.type is not Limited"
        found.append(fields.forbidden(f"{path}.queuing", message))
    if kind != "Queue":
        return found
    if queuing is None:
        message = "must not be empty if limited.limitResponse.type is Limited"
        return [*found, fields.required(f"{path}.queuing", message)]
    queues, hand = queuing.get("queues") or 0, queuing.get("handSize") or 0
    for key in ("queueLengthLimit", "queues", "handSize"):
        if (queuing.get(key) or 0) <= 0:
            where = f"{path}.queuing.{key}"
            found.append(fields.invalid(where, queuing.get(key), "must be positive"))
    if queues > _QUEUES_MAX:
        message = f"must not be greater than {_QUEUES_MAX}"
        found.append(fields.invalid(f"{path}.queuing.queues", queues, message))
    if hand > queues > 0:
        message = f"should not be greater than queues ({queues})"
        found.append(fields.invalid(f"{path}.queuing.handSize", hand, message))
    return found


SCHEMA = KindSpec(resources.FLOW_SCHEMA, _schema_defaults, _check_schema, lambda _schema: {})
LEVEL = KindSpec(
    resources.PRIORITY_LEVEL_CONFIGURATION, _level_defaults, _check_level, lambda _level: {}
)
