"""Label and field selectors: their text, their object form, and whether they match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cloudwright.model import label_grammar
from cloudwright.model.label_grammar import Operator

_EXPRESSIONS: dict[str, Operator] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on the labels. ``values`` is empty for ``exists`` and ``!``."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it; ``!=`` and ``notin`` also hold when the key is absent."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value not in self.values
        if value is None or re.fullmatch(r"[+-]?\d+", value) is None:
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == ">" else int(value) < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of its requirements must hold; ``nothing`` selects no object at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        found = labels or {}
        return all(requirement.matches(found) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        """The text for ``labelSelector=``; empty for the one that selects everything."""
        return ",".join(map(str, self.requirements))


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on a field: ``path`` is dotted, the comparison is by text."""

    path: str
    operator: Literal["=", "!="]
    value: str
    zero: str = ""
    """What an absent field counts as."""

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object's field fulfils it."""
        found = field_text(obj, self.path) or self.zero
        return (found == self.value) == (self.operator == "=")

    def __str__(self) -> str:
        escaped = re.sub(r"([\\,=])", r"\\\1", self.value)
        return f"{self.path}{self.operator}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All of its requirements must hold."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object is selected."""
        return all(requirement.matches(obj) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.requirements

    @property
    def paths(self) -> frozenset[str]:
        """The fields that it asks for, so that a server can refuse the ones it does not know."""
        return frozenset(requirement.path for requirement in self.requirements)

    def exactly(self, path: str) -> str | None:
        """The value that ``path`` must have, when the selector demands one."""
        for requirement in self.requirements:
            if requirement.path == path and requirement.operator == "=":
                return requirement.value
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def parse_labels(text: str | None) -> LabelSelector:
    """The selector that ``text`` (``a=b,c!=d,e in (f,g),h,!i``) writes down.

    Raises:
        ValueError: the text is no selector, or a key or value is not allowed as a label.
    """
    return LabelSelector(tuple(Requirement(*term) for term in label_grammar.parse(text or "")))


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a ``metav1.LabelSelector``; ``None`` selects nothing, ``{}`` everything.

    Raises:
        ValueError: an operator is unknown, or its values do not fit it.
    """
    if selector is None:
        return LabelSelector(nothing=True)
    requirements = [
        Requirement(key, "=", (str(value),))
        for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = _EXPRESSIONS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(
                f'"{expression.get("operator")}" is not a valid label selector operator'
            )
        values = tuple(map(str, expression.get("values") or ()))
        if (operator in ("in", "notin")) != bool(values):
            need = "needs" if operator in ("in", "notin") else "may not have"
            raise ValueError(f"operator {expression['operator']} {need} values")
        requirements.append(Requirement(str(expression.get("key", "")), operator, values))
    for requirement in requirements:
        label_grammar.check(requirement.key, requirement.operator, requirement.values)
    return LabelSelector(tuple(requirements))


def from_labels(labels: Mapping[str, str]) -> LabelSelector:
    """The selector of a plain map (``Service.spec.selector``); an empty one selects nothing."""
    if not labels:
        return LabelSelector(nothing=True)
    return LabelSelector(tuple(Requirement(k, "=", (str(v),)) for k, v in sorted(labels.items())))


def parse_fields(text: str | None) -> FieldSelector:
    r"""The selector that ``text`` (``metadata.name=x,status.phase!=Running``) writes down.

    A comma, an equals sign or a backslash in a value is written with a backslash before it.

    Raises:
        ValueError: a term has no operator or no field.
    """
    requirements = []
    for term in _terms(text or ""):
        match = re.match(r"(.*?)(!=|==|=)", term, re.DOTALL)
        if match is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator: Literal["=", "!="] = "!=" if match[2] == "!=" else "="
        value = _unescaped(term[match.end() :])
        requirements.append(FieldRequirement(match[1].strip(), operator, value))
    return FieldSelector(tuple(requirements))


def field_text(obj: Mapping[str, Any], path: str) -> str:
    """The field at a dotted path as text; empty when it is absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _terms(text: str) -> list[str]:
    parts = re.findall(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL)
    return [part for part in parts if part]


def _unescaped(raw: str) -> str:
    bad = re.search(r"(?:[^\\,=]|\\[\\,=])*", raw, re.DOTALL)
    rest = raw[bad.end() :] if bad else ""
    if rest.startswith("\\"):
        raise ValueError(f"invalid field selector: invalid escape sequence: {rest[:2]}")
    if rest:
        what = f"unescaped character in value: {ord(rest[0])}"
        raise ValueError(f"invalid field selector: {what}")
    return re.sub(r"\\([\\,=])", r"\1", raw)
