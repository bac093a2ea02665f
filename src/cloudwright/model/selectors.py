"""Label and field selectors: their text, their object form, and whether they match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cloudwright.model.names import label_value_problems, qualified_name_problems

Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]

_TOKEN = re.compile(r"\s*(==|!=|=|!|,|\(|\)|>|<|[^\s=!,()<>]+)")
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

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object's field fulfils it; an absent field counts as the empty text."""
        return (field_text(obj, self.path) == self.value) == (self.operator == "=")

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
    tokens = _tokens(text or "")
    requirements: list[Requirement] = []
    at = 0
    while at < len(tokens):
        if requirements:
            if tokens[at] != ",":
                raise _unparsable(text, f'found "{tokens[at]}", expected ","')
            at += 1
        requirement, at = _requirement(tokens, at, text)
        requirements.append(requirement)
    for requirement in requirements:
        _check(requirement)
    return LabelSelector(tuple(requirements))


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
        _check(requirement)
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
        match = re.fullmatch(r"([^=!\\]+)(==|!=|=)(.*)", term, re.DOTALL)
        if match is None:
            raise ValueError(f'invalid field selector "{term}": write FIELD=VALUE or FIELD!=VALUE')
        requirements.append(_field(match[1].strip(), match[2], match[3]))
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


def _field(path: str, operator: str, raw: str) -> FieldRequirement:
    if re.fullmatch(r"(?:[^\\=]|\\[\\,=])*", raw, re.DOTALL) is None:
        raise ValueError(f'invalid field selector value "{raw}": write "\\=" and "\\\\" in a value')
    value = re.sub(r"\\([\\,=])", r"\1", raw)
    return FieldRequirement(path, "!=" if operator == "!=" else "=", value)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unparsable(text, f'unexpected "{text[at]}"')
        tokens.append(match[1])
        at = match.end()
    return tokens


def _requirement(tokens: list[str], at: int, text: str | None) -> tuple[Requirement, int]:
    word = _word(tokens, at, text, "a key", also="!")
    if word == "!":
        return Requirement(_word(tokens, at + 1, text, "a key"), "!"), at + 2
    following = tokens[at + 1] if at + 1 < len(tokens) else ","
    match following:
        case ",":
            return Requirement(word, "exists"), at + 1
        case "=" | "==" | "!=" | ">" | "<":
            operator: Operator = "=" if following == "==" else following
            # "a=" and "a=,b" mean the empty value
            if at + 2 >= len(tokens) or tokens[at + 2] == ",":
                return Requirement(word, operator, ("",)), at + 2
            return Requirement(word, operator, (_word(tokens, at + 2, text, "a value"),)), at + 3
        case "in" | "notin":
            values, end = _set(tokens, at + 2, text)
            return Requirement(word, following, values), end
    raise _unparsable(text, f'found "{following}", expected an operator: = == != in notin')


def _set(tokens: list[str], at: int, text: str | None) -> tuple[tuple[str, ...], int]:
    if at >= len(tokens) or tokens[at] != "(":
        raise _unparsable(text, 'expected "(" after in or notin')
    values: list[str] = []
    expect_value = True
    for index in range(at + 1, len(tokens)):
        word = tokens[index]
        if word == ")":
            if expect_value:
                values.append("")
            return tuple(sorted(set(values))), index + 1
        if word == ",":
            if expect_value:
                values.append("")
            expect_value = True
        elif expect_value:
            values.append(_word(tokens, index, text, "a value"))
            expect_value = False
        else:
            raise _unparsable(text, f'found "{word}", expected "," or ")"')
    raise _unparsable(text, 'expected ")" at the end of the list')


def _word(tokens: list[str], at: int, text: str | None, what: str, also: str = "") -> str:
    if at >= len(tokens):
        raise _unparsable(text, f"expected {what} at the end")
    token = tokens[at]
    if token in ("=", "==", "!=", "!", ",", "(", ")", ">", "<") and token != also:
        raise _unparsable(text, f'found "{token}", expected {what}')
    return token


def _check(requirement: Requirement) -> None:
    for problem in qualified_name_problems(requirement.key):
        raise ValueError(f'invalid label key "{requirement.key}": {problem}')
    for value in requirement.values:
        if requirement.operator in (">", "<"):
            if re.fullmatch(r"[+-]?\d+", value) is None:
                raise ValueError(f'"{requirement.operator}" needs a whole number, not "{value}"')
            continue
        for problem in label_value_problems(value):
            raise ValueError(f'invalid label value "{value}": {problem}')


def _unparsable(text: str | None, why: str) -> ValueError:
    return ValueError(f'unable to parse label selector "{text}": {why}')
