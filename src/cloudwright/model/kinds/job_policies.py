"""A Job's policies: what a failed pod means, when a job has succeeded, when pods are replaced."""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import mapping, members, one_of, wrong
from cloudwright.model.objects import Object

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_RULES_MAX, _CODES_MAX = 20, 255


def errors(spec: Object, path: str) -> list[FieldError]:
    """What is wrong with the policies of a job's spec."""
    found: list[FieldError] = []
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        found += _failure_errors(spec, policy, f"{path}.podFailurePolicy.rules")
    success = spec.get("successPolicy")
    if success is not None:
        if spec.get("completionMode") != "Indexed":
            message = "requires indexed completion mode"
            found.append(fields.invalid(f"{path}.successPolicy", success, message))
        elif not members(success, "rules"):
            message = "at least one rules must be specified when the successPolicy is specified"
            found.append(fields.required(f"{path}.successPolicy.rules", message))
    allowed = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
    return found + one_of(spec, path, "podReplacementPolicy", allowed)


def _quoted(choices: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(f'"{one}"' for one in choices) + "]"


def _failure_errors(spec: Object, policy: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    rules = members(policy, "rules")
    if len(rules) > _RULES_MAX:
        found.append(fields.too_many(path, len(rules), _RULES_MAX))
    pod = mapping(mapping(spec, "template"), "spec")
    known = {c.get("name") for kind in ("containers", "initContainers") for c in members(pod, kind)}
    for index, rule in enumerate(rules):
        found += _rule_errors(spec, rule, f"{path}[{index}]", known)
    return found


def _rule_errors(spec: Object, rule: Object, path: str, known: set[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    action = rule.get("action")
    if not action:
        found.append(fields.required(f"{path}.action", _quoted(_ACTIONS)))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        message = "requires the backoffLimitPerIndex to be set"
        found.append(fields.invalid(f"{path}.action", action, message))
    else:
        found += one_of(rule, path, "action", _ACTIONS)
    codes, conditions = rule.get("onExitCodes"), members(rule, "onPodConditions")
    if codes is not None:
        found += _code_errors(codes, f"{path}.onExitCodes", known)
    for index, pattern in enumerate(conditions):
        where = f"{path}.onPodConditions[{index}]"
        kind = str(pattern.get("type") or "")
        found += wrong(f"{where}.type", kind, names.qualified_name_problems(kind))
        found += one_of(pattern, where, "status", _STATUSES)
    if codes is not None and conditions:
        message = "specifying both OnExitCodes and OnPodConditions is not supported"
        found.append(fields.invalid(path, fields.OMITTED, message))
    if codes is None and not conditions:
        message = "specifying one of OnExitCodes and OnPodConditions is required"
        found.append(fields.invalid(path, fields.OMITTED, message))
    return found


def _code_errors(codes: Object, path: str, known: set[Any]) -> list[FieldError]:
    found: list[FieldError] = []
    operator, values = codes.get("operator"), members(codes, "values")
    if not operator:
        found.append(fields.required(f"{path}.operator", _quoted(_OPERATORS)))
    found += one_of(codes, path, "operator", _OPERATORS)
    container = codes.get("containerName")
    if container is not None and container not in known:
        message = "must be one of the container or initContainer names in the pod template"
        found.append(fields.invalid(f"{path}.containerName", container, message))
    if not values:
        message = "at least one value is required"
        found.append(fields.invalid(f"{path}.values", codes.get("values"), message))
    elif len(values) > _CODES_MAX:
        found.append(fields.too_many(f"{path}.values", len(values), _CODES_MAX))
    if operator == "In" and 0 in values:
        where = f"{path}.values[{values.index(0)}]"
        found.append(fields.invalid(where, 0, "must not be 0 for the In operator"))
    for index, value in enumerate(values):
        if value in values[:index]:
            found.append(fields.duplicate(f"{path}.values[{index}]", value))
    if values != sorted(values):
        found.append(fields.invalid(f"{path}.values", values, "must be ordered"))
    return found
