"""Where a pod may run, and what it waits for: tolerations, affinities, spreading, gates."""

from __future__ import annotations

import ipaddress
from typing import Any

from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import affinity, labels
from cloudwright.model.kinds.spec import mapping, members, one_of, wrong
from cloudwright.model.objects import Object

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_ALL = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'


def errors(spec: Object, path: str) -> list[FieldError]:
    """What is wrong with how a pod's spec says where it may run."""
    found = labels.label_errors(mapping(spec, "nodeSelector"), f"{path}.nodeSelector")
    for index, gate in enumerate(members(spec, "schedulingGates")):
        name = str(gate.get("name") or "")
        problems = names.qualified_name_problems(name)
        found += wrong(f"{path}.schedulingGates[{index}]", name, problems)
    for index, gate in enumerate(members(spec, "readinessGates")):
        kind = str(gate.get("conditionType") or "")
        where = f"{path}.readinessGates[{index}].conditionType"
        found += wrong(where, kind, names.qualified_name_problems(kind))
    found += _affinity_errors(mapping(spec, "affinity"), f"{path}.affinity")
    found += tolerations(members(spec, "tolerations"), f"{path}.tolerations")
    found += _alias_errors(members(spec, "hostAliases"), f"{path}.hostAliases")
    spread = members(spec, "topologySpreadConstraints")
    return found + _spread_errors(spread, f"{path}.topologySpreadConstraints")


def tolerations(given: list[Any], path: str) -> list[FieldError]:
    """What is wrong with tolerations."""
    found: list[FieldError] = []
    for index, one in enumerate(given):
        where, key = f"{path}[{index}]", str(one.get("key") or "")
        operator, effect = one.get("operator") or "", one.get("effect") or ""
        value = str(one.get("value") or "")
        if key:
            found += wrong(f"{where}.key", key, names.qualified_name_problems(key))
        elif operator != "Exists":
            found.append(fields.invalid(f"{where}.operator", operator, _ALL))
        if one.get("tolerationSeconds") is not None and effect != "NoExecute":
            message = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(fields.invalid(f"{where}.effect", effect, message))
        if operator in ("", "Equal"):
            problems = names.label_value_problems(value)
            text = [";".join(problems)] if problems else []
            found += wrong(f"{where}.operator", value, text)
        elif operator == "Exists":
            if value:
                message = "value must be empty when `operator` is 'Exists'"
                found.append(fields.invalid(f"{where}.operator", value, message))
        else:
            found.append(fields.not_supported(f"{where}.operator", operator, ("Equal", "Exists")))
        if effect:
            found += one_of(one, where, "effect", _EFFECTS)
    return found


def _affinity_errors(given: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    node, where = mapping(given, "nodeAffinity"), f"{path}.nodeAffinity"
    if (required := node.get(_REQUIRED)) is not None:
        found += affinity.node_selector_errors(required, f"{where}.{_REQUIRED}")
    for index, term in enumerate(members(node, _PREFERRED)):
        at = f"{where}.{_PREFERRED}[{index}]"
        found += _weight_errors(term, at)
        found += affinity.node_term_errors(mapping(term, "preference"), f"{at}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        pods, where = mapping(given, kind), f"{path}.{kind}"
        for index, term in enumerate(members(pods, _REQUIRED)):
            found += _pod_term_errors(term, f"{where}.{_REQUIRED}[{index}]")
        for index, term in enumerate(members(pods, _PREFERRED)):
            at = f"{where}.{_PREFERRED}[{index}]"
            found += _weight_errors(term, at)
            inner = mapping(term, "podAffinityTerm")
            found += _pod_term_errors(inner, f"{at}.podAffinityTerm")
    return found


def _weight_errors(term: Object, path: str) -> list[FieldError]:
    weight = term.get("weight") or 0
    if 1 <= weight <= 100:
        return []
    return [fields.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _pod_term_errors(term: Object, path: str) -> list[FieldError]:
    found = labels.selector_errors(term.get("labelSelector"), f"{path}.labelSelector")
    selector = term.get("namespaceSelector")
    found += labels.selector_errors(selector, f"{path}.namespaceSelector")
    for name in members(term, "namespaces"):
        found += wrong(f"{path}.namespace", name, names.dns_label_problems(str(name)))
    key, where = str(term.get("topologyKey") or ""), f"{path}.topologyKey"
    if not key:
        found.append(fields.required(where, "can not be empty"))
    return found + wrong(where, key, names.qualified_name_problems(key))


def _alias_errors(aliases: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, alias in enumerate(aliases):
        where, ip = f"{path}[{index}]", str(alias.get("ip") or "")
        try:
            ipaddress.ip_address(ip)
        except ValueError:
            message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            found.append(fields.invalid(f"{where}.ip", ip, message))
        for at, host in enumerate(members(alias, "hostnames")):
            problems = names.dns_subdomain_problems(str(host))
            found += wrong(f"{where}.hostnames[{at}]", host, problems)
    return found


def _spread_errors(constraints: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[tuple[Any, Any]] = set()
    for index, one in enumerate(constraints):
        where, skew = f"{path}[{index}]", one.get("maxSkew") or 0
        if skew <= 0:
            found.append(fields.invalid(f"{where}.maxSkew", skew, "must be greater than zero"))
        key, unmet = one.get("topologyKey") or "", one.get("whenUnsatisfiable") or ""
        if not key:
            found.append(fields.required(f"{where}.topologyKey", "can not be empty"))
        choices = ("DoNotSchedule", "ScheduleAnyway")
        if unmet not in choices:
            found.append(fields.not_supported(f"{where}.whenUnsatisfiable", unmet, choices))
        if (key, unmet) in seen:
            at = f"{where}.{{topologyKey, whenUnsatisfiable}}"
            found.append(fields.duplicate(at, f"{{{key}, {unmet}}}"))
        seen.add((key, unmet))
        least = one.get("minDomains")
        if least is not None and least <= 0:
            message = "must be greater than zero"
            found.append(fields.invalid(f"{where}.minDomains", least, message))
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            found += one_of(one, where, policy, ("Honor", "Ignore"))
        found += labels.selector_errors(one.get("labelSelector"), f"{where}.labelSelector")
    return found
