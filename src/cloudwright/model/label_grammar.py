"""The grammar of label selectors (``a=b,c!=d,e in (f,g),h,!i``), and what upstream's parser says
of texts that are none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

from cloudwright.model.names import label_value_problems, qualified_name_problems

Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]
Term = tuple[str, Operator, tuple[str, ...]]
"""A key, what is asked of it, and the values that it is compared with."""

_SPACE = " \t\r\n"
_SPECIAL = frozenset("=!(),<>")
_TOKENS = frozenset({")", ",", "!", "==", "=", ">", "<", "!=", "("})
_OPERATORS: dict[str, Operator] = {
    "in": "in", "notin": "notin", "=": "=", "==": "=", "!=": "!=", ">": ">", "<": "<",
}  # fmt: skip
_BINARY = "in, notin, =, ==, !=, gt, lt"
_INTEGER = re.compile(r"[+-]?\d+")


def parse(text: str) -> list[Term]:
    """The terms of a selector, all of which must hold.

    Raises:
        ValueError: the text is no selector, or a key or value is not allowed as a label.
    """
    tokens = [*_tokens(text), "", "", ""]
    terms: list[Term] = []
    at = 0
    while tokens[at]:
        if not _is_word(tokens[at]) and tokens[at] != "!":
            raise ValueError(f"found '{tokens[at]}', expected: !, identifier, or 'end of string'")
        try:
            term, at = _term(tokens, at)
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None
        terms.append(term)
        if not tokens[at]:
            break
        if tokens[at] != ",":
            raise ValueError(f"found '{tokens[at]}', expected: ',' or 'end of string'")
        at += 1
        if not _is_word(tokens[at]) and tokens[at] != "!":
            raise ValueError(f"found '{tokens[at]}', expected: identifier after ','")
    return terms


def check(key: str, operator: Operator, values: tuple[str, ...]) -> None:
    """Refuse what is not allowed in labels.

    Raises:
        ValueError: see there.
    """
    found = [
        f"key: Invalid value: {_quoted(key)}: {'; '.join(problems)}"
        for problems in [qualified_name_problems(key)]
        if problems
    ]
    if operator in (">", "<"):
        found += [
            f"values[{index}]: Invalid value: {_quoted(value)}: "
            "for 'Gt', 'Lt' operators, the value must be an integer"
            for index, value in enumerate(values)
            if _INTEGER.fullmatch(value) is None
        ]
    for index, value in enumerate(values):
        problems = label_value_problems(value)
        if problems:
            said = "; ".join(problems)
            found.append(f"values[{index}][{key}]: Invalid value: {_quoted(value)}: {said}")
    if found:
        raise ValueError(found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while True:
        while at < len(text) and text[at] in _SPACE:
            at += 1
        if at >= len(text):
            return
        start = at
        if text[at] in _SPECIAL:
            at += 2 if text[at : at + 2] in _TOKENS else 1
        else:
            while at < len(text) and text[at] not in _SPECIAL and text[at] not in _SPACE:
                at += 1
        yield text[start:at]


def _is_word(token: str) -> bool:
    return bool(token) and token not in _TOKENS


def _term(tokens: list[str], at: int) -> tuple[Term, int]:
    negated = tokens[at] == "!"
    at += negated
    key = tokens[at]
    if not _is_word(key):
        raise ValueError(f"found '{key}', expected: identifier")
    problems = qualified_name_problems(key)
    if problems:
        raise ValueError(f"<nil>: Invalid value: {_quoted(key)}: {'; '.join(problems)}")
    at += 1
    if negated or tokens[at] in ("", ","):
        return (key, "!" if negated else "exists", ()), at
    operator = _OPERATORS.get(tokens[at])
    if operator is None:
        raise ValueError(f"found '{tokens[at]}', expected: {_BINARY}")
    if operator in ("in", "notin"):
        values, at = _set(tokens, at + 1)
    else:
        values, at = _exact(tokens, at + 1)
    check(key, operator, values)
    return (key, operator, values), at


def _exact(tokens: list[str], at: int) -> tuple[tuple[str, ...], int]:
    if tokens[at] in ("", ","):  # "a=" and "a=,b" mean the empty value
        return ("",), at
    if not _is_word(tokens[at]):
        raise ValueError(f"found '{tokens[at]}', expected: identifier")
    return (tokens[at],), at + 1


def _set(tokens: list[str], at: int) -> tuple[tuple[str, ...], int]:
    if tokens[at] != "(":
        raise ValueError(f"found '{tokens[at]}' expected: '('")
    at += 1
    if tokens[at] == ")":
        return ("",), at + 1
    if not _is_word(tokens[at]) and tokens[at] != ",":
        raise ValueError(f"found '{tokens[at]}', expected: ',', ')' or identifier")
    values: set[str] = set()
    while True:
        token, following = tokens[at], tokens[at + 1]
        if _is_word(token):
            values.add(token)
            if following not in (",", ")"):
                raise ValueError(f"found '{following}', expected: ',' or ')'")
        elif token == ",":  # noqa: S105  (no password)
            if not values or following in (")", ","):
                values.add("")
        else:
            raise ValueError(f"found '{token}', expected: ',', or identifier")
        at += 1
        if following == ")":
            return tuple(sorted(values)), at + 1
