"""A policy and a binding as they are kept: matched and compiled once, when first needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cloudwright.apiserver import cel
from cloudwright.apiserver.admission.matching import Constraints, constraints_of
from cloudwright.model import selectors
from cloudwright.model.objects import Object

VARIABLES: Mapping[str, cel.Declared | cel.Variable] = {
    "object": "dyn",
    "oldObject": "dyn",
    "request": cel.REQUEST,
    "namespaceObject": cel.NAMESPACE,
    "authorizer": "authorizer",
    "params": "dyn",
}


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation, compiled."""

    source: str
    program: cel.Program
    message: str
    message_program: cel.Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutation, compiled. ``kind`` is ``ApplyConfiguration`` or ``JSONPatch``."""

    kind: str
    source: str
    program: cel.Program


class Policy:
    """One policy."""

    def __init__(self, raw: Object) -> None:
        spec = raw.get("spec") or {}
        self.name: str = raw["metadata"]["name"]
        self.spec: Mapping[str, Any] = spec
        self.constraints: Constraints = constraints_of(
            spec.get("matchConstraints") or {}, rules="resourceRules"
        )
        self.ignores_failures = spec.get("failurePolicy") == "Ignore"
        self.param_kind: Mapping[str, str] | None = spec.get("paramKind")
        self.again = spec.get("reinvocationPolicy") == "IfNeeded"

    @cached_property
    def environment(self) -> cel.Environment:
        """Where its expressions live.

        Raises:
            CelError: a variable does not compile.
        """
        made = cel.Environment(VARIABLES, mutation="mutations" in self.spec)
        for variable in self.spec.get("variables") or ():
            made.compose(str(variable["name"]), str(variable["expression"]))
        return made

    @cached_property
    def conditions(self) -> list[tuple[str, cel.Program]]:
        """Its ``matchConditions``."""
        return [
            (str(one["name"]), self.environment.compile(str(one["expression"]), result="bool"))
            for one in self.spec.get("matchConditions") or ()
        ]

    @cached_property
    def validations(self) -> list[Validation]:
        """Its ``validations``."""
        found = []
        for one in self.spec.get("validations") or ():
            source, message = str(one["expression"]), one.get("messageExpression")
            program = self.environment.compile(source, result="bool")
            shown = self.environment.compile(str(message), result="string") if message else None
            found.append(
                Validation(
                    source, program, str(one.get("message") or ""), shown, one.get("reason") or ""
                )
            )
        return found

    @cached_property
    def audit_annotations(self) -> list[tuple[str, cel.Program]]:
        """Its ``auditAnnotations``."""
        return [
            (str(one["key"]), self.environment.compile(str(one["valueExpression"])))
            for one in self.spec.get("auditAnnotations") or ()
        ]

    @cached_property
    def mutations(self) -> list[Mutation]:
        """Its ``mutations``."""
        found = []
        for one in self.spec.get("mutations") or ():
            kind = str(one.get("patchType") or "")
            half = one.get("applyConfiguration" if kind == "ApplyConfiguration" else "jsonPatch")
            source = str((half or {}).get("expression") or "")
            found.append(Mutation(kind, source, self.environment.compile(source)))
        return found


class Binding:
    """One binding."""

    def __init__(self, raw: Object) -> None:
        spec = raw.get("spec") or {}
        self.name: str = raw["metadata"]["name"]
        self.policy: str = str(spec.get("policyName") or "")
        self.actions: tuple[str, ...] = tuple(spec.get("validationActions") or ())
        self.param: Mapping[str, Any] | None = spec.get("paramRef")
        matching = spec.get("matchResources")
        self.everything = not (matching or {}).get("resourceRules")
        self.constraints: Constraints | None = (
            constraints_of(matching, rules="resourceRules") if matching else None
        )
        selector = (self.param or {}).get("selector")
        self.param_selector = selectors.from_label_selector(selector) if selector else None
