"""Validating- and MutatingAdmissionPolicies and their bindings: rules for writes, in CEL.

What their expressions say is checked where expressions are compiled, in the API server.
"""

from __future__ import annotations

from typing import Any

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels, naming
from cloudwright.model.kinds.admission_rules import match_defaults, match_errors
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of, wrong
from cloudwright.model.objects import Object

_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")


def _defaults(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if (match := spec.get("matchConstraints")) is not None:
        match_defaults(match)


def _common(spec: Object) -> list[FieldError]:
    found = one_of(spec, "spec", "failurePolicy", ("Fail", "Ignore"))
    if (kind := spec.get("paramKind")) is not None:
        for key in ("apiVersion", "kind"):
            if not kind.get(key):
                found.append(fields.required(f"spec.paramKind.{key}"))
    match = spec.get("matchConstraints")
    if match is None:
        found.append(fields.required("spec.matchConstraints"))
    else:
        found += match_errors(match, "spec.matchConstraints")
        if not members(match, "resourceRules"):
            found.append(fields.required("spec.matchConstraints.resourceRules"))
    found += _named(members(spec, "matchConditions"), "spec.matchConditions")
    return found + _named(members(spec, "variables"), "spec.variables")


def _named(entries: list[Any], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[Any] = set()
    for index, entry in enumerate(entries):
        name = entry.get("name")
        for key in ("name", "expression"):
            if not str(entry.get(key) or "").strip():
                found.append(fields.required(f"{path}[{index}].{key}"))
        if name and name in seen:
            found.append(fields.duplicate(f"{path}[{index}].name", name))
        seen.add(name)
    return found


def _check_validating(policy: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(policy, "spec")
    found = _common(spec)
    validations, audits = members(spec, "validations"), members(spec, "auditAnnotations")
    if not validations and not audits:
        message = "validations or auditAnnotations must contain at least one item"
        found.append(fields.required("spec.validations", message))
        found.append(fields.required("spec.auditAnnotations", message))
    for index, one in enumerate(validations):
        path = f"spec.validations[{index}]"
        if not str(one.get("expression") or "").strip():
            message = "expression is not specified"
            found.append(fields.required(f"{path}.expression", message))
        found += one_of(one, path, "reason", _REASONS)
        text = one.get("message")
        if text is not None and not str(text).strip():
            message = "message must be non-empty if specified"
            found.append(fields.invalid(f"{path}.message", text, message))
    for index, one in enumerate(audits):
        path = f"spec.auditAnnotations[{index}]"
        found += naming.qualified_errors(str(one.get("key") or ""), f"{path}.key")
        if not str(one.get("valueExpression") or "").strip():
            message = "valueExpression is not specified"
            found.append(fields.required(f"{path}.valueExpression", message))
    return found


def _check_mutating(policy: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(policy, "spec")
    found = _common(spec)
    mutations = members(spec, "mutations")
    if not mutations:
        message = "mutations must contain at least one item"
        found.append(fields.required("spec.mutations", message))
    keys = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    for index, one in enumerate(mutations):
        path, kind = f"spec.mutations[{index}]", one.get("patchType")
        if not kind:
            found.append(fields.required(f"{path}.patchType"))
            continue
        if kind not in keys:
            found.append(fields.not_supported(f"{path}.patchType", kind, keys))
            continue
        if one.get(keys[kind]) is None:
            message = f"must be specified when patchType is {kind}"
            found.append(fields.required(f"{path}.{keys[kind]}", message))
    if not spec.get("reinvocationPolicy"):
        found.append(fields.required("spec.reinvocationPolicy"))
    return found + one_of(spec, "spec", "reinvocationPolicy", ("IfNeeded", "Never"))


def _binding_defaults(binding: Object) -> None:
    if (match := mapping(binding, "spec").get("matchResources")) is not None:
        match_defaults(match)


def _binding(binding: Object) -> list[FieldError]:
    spec = mapping(binding, "spec")
    name = str(spec.get("policyName") or "")
    if not name:
        found = [fields.required("spec.policyName")]
    else:
        found = wrong("spec.policyName", name, names.dns_subdomain_problems(name))
    if (reference := spec.get("paramRef")) is not None:
        found += _reference_errors(reference, "spec.paramRef")
    if (match := spec.get("matchResources")) is not None:
        found += match_errors(match, "spec.matchResources")
    return found


def _reference_errors(reference: Object, path: str) -> list[FieldError]:
    name, selector = reference.get("name"), reference.get("selector")
    found: list[FieldError] = []
    if not name and selector is None:
        found.append(fields.required(path, "one of name or selector must be specified"))
    elif name and selector is not None:
        message = "name and selector are mutually exclusive"
        found.append(fields.forbidden(f"{path}.name", message))
    found += labels.selector_errors(selector, f"{path}.selector")
    if not reference.get("parameterNotFoundAction"):
        found.append(fields.required(f"{path}.parameterNotFoundAction"))
    return found + one_of(reference, path, "parameterNotFoundAction", ("Allow", "Deny"))


def _check_binding(binding: Object, _old: Object | None) -> list[FieldError]:
    found = _binding(binding)
    actions, path = members(mapping(binding, "spec"), "validationActions"), "spec.validationActions"
    if not actions:
        return [*found, fields.required(path)]
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            found.append(fields.not_supported(f"{path}[{index}]", action, _ACTIONS))
        if action in actions[:index]:
            found.append(fields.duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        message = "must not contain both Deny and Warn (repeating the same validation failure "
        message += "information in the API response and headers serves no purpose)"
        found.append(fields.invalid(path, actions, message))
    return found


def _check_mutating_binding(binding: Object, _old: Object | None) -> list[FieldError]:
    return _binding(binding)


VALIDATING = KindSpec(resources.VALIDATING_ADMISSION_POLICY, _defaults, _check_validating)
VALIDATING_BINDING = KindSpec(
    resources.VALIDATING_ADMISSION_POLICY_BINDING, _binding_defaults, _check_binding
)
MUTATING = KindSpec(resources.MUTATING_ADMISSION_POLICY, _defaults, _check_mutating)
MUTATING_BINDING = KindSpec(
    resources.MUTATING_ADMISSION_POLICY_BINDING, _binding_defaults, _check_mutating_binding
)
