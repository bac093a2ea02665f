"""Expressions in policies and webhook configurations are compiled before they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloudwright.apiserver import cel
from cloudwright.apiserver.admission import matching
from cloudwright.apiserver.admission.conditions import VARIABLES as CONDITION_VARIABLES
from cloudwright.apiserver.admission.plugins.plugin import Plugin, written
from cloudwright.apiserver.admission.policies.policy import VARIABLES
from cloudwright.apiserver.admission.review import Review
from cloudwright.model import fields
from cloudwright.model.fields import FieldError

_POLICIES = ("validatingadmissionpolicies", "mutatingadmissionpolicies")
_WEBHOOKS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")


class Expressions(Plugin):
    """Refuses a rule whose expressions could never be evaluated."""

    about = frozenset((matching.REGISTRATION, plural) for plural in (*_POLICIES, *_WEBHOOKS))

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """One error for each expression that does not compile."""
        obj = written(review)
        if review.resource.plural in _WEBHOOKS:
            found: list[FieldError] = []
            environment = cel.Environment(CONDITION_VARIABLES)
            for index, hook in enumerate(obj.get("webhooks") or ()):
                path = f"webhooks[{index}].matchConditions"
                found += _all(environment, hook.get("matchConditions"), path, "expression", "bool")
            return found
        return policy_errors(obj.get("spec") or {})


def policy_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    """What does not compile in the ``spec`` of a policy."""
    variables = dict(VARIABLES)
    if not spec.get("paramKind"):
        variables.pop("params")
    environment = cel.Environment(variables, mutation="mutations" in spec)
    found: list[FieldError] = []
    for index, one in enumerate(spec.get("variables") or ()):
        try:
            environment.compose(str(one.get("name")), str(one.get("expression")))
        except cel.CelCompileError as error:
            found.append(_error(f"spec.variables[{index}].expression", one["expression"], error))
    found += _all(
        environment, spec.get("matchConditions"), "spec.matchConditions", "expression", "bool"
    )
    validations = spec.get("validations")
    found += _all(environment, validations, "spec.validations", "expression", "bool")
    found += _all(environment, validations, "spec.validations", "messageExpression", "string")
    found += _all(
        environment, spec.get("auditAnnotations"), "spec.auditAnnotations", "valueExpression", "any"
    )
    for half in ("applyConfiguration", "jsonPatch"):
        inner = [(one.get(half) or {}) for one in spec.get("mutations") or ()]
        found += _all(environment, inner, "spec.mutations", "expression", "any", f".{half}")
    return found


def _all(
    environment: cel.Environment,
    entries: Iterable[Mapping[str, Any]] | None,
    path: str,
    name: str,
    result: cel.Result,
    below: str = "",
) -> list[FieldError]:
    found = []
    for index, one in enumerate(entries or ()):
        source = one.get(name)
        if not source:
            continue
        where = f"{path}[{index}]{below}.{name}"
        try:
            kind = environment.compile(str(source)).type
        except cel.CelCompileError as error:
            found.append(_error(where, source, error))
            continue
        if result != "any" and kind not in (result, "dyn"):
            message = f"must evaluate to {result} but got {kind}"
            found.append(fields.invalid(where, source, message))
    return found


def _error(path: str, source: object, error: cel.CelError) -> FieldError:
    return fields.invalid(path, source, f"compilation failed: {error.message}")
