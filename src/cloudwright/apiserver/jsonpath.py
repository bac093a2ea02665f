"""The JSONPath of a CRD's printer columns: ``.spec.a``, ``[0]``, ``[*]``, ``[?(@.type=="Ready")]``.

Kubernetes' own subset; anything else is an error when the path is compiled. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

Step = Callable[[Iterable[Any]], list[Any]]

_TOKEN = re.compile(
    r"""\.\.                                        # recursive descent: refused
      | \.(?P<name>(?:[A-Za-z_$*/][\w$/-]*|\\.)+)     # .field, with \\. for a dot in it
      | \[\s*(?P<index>-?\d+)\s*\]                  # [0]
      | \[\s*(?P<all>\*)\s*\]                       # [*]
      | \[\s*(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\s*\]      # ['field']
      | \[\?\(\s*@\.(?P<field>[\w.-]+)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>[^)]+?)\s*)?\)\]
    """,
    re.VERBOSE,
)


class JsonPathError(ValueError):
    """The text is no JSONPath that is understood here."""


@lru_cache(maxsize=512)
def compile_path(text: str) -> tuple[Step, ...]:
    """The steps of ``text`` (with or without ``{}`` and ``$``).

    Raises:
        JsonPathError: it is not understood; the message shows the part.
    """
    rest = text.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1].strip()
    rest = rest.removeprefix("$").removeprefix("@")
    if rest and rest[0] not in ".[":
        rest = f".{rest}"
    steps: list[Step] = []
    at = 0
    while at < len(rest) and rest != ".":
        match = _TOKEN.match(rest, at)
        if match is None or match[0] == "..":
            raise JsonPathError(f"{text!r} is not understood from {rest[at:]!r} on")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def find(text: str, value: Any) -> list[Any]:
    """Everything in ``value`` that ``text`` points at; empty when nothing is there."""
    found: list[Any] = [value]
    for step in compile_path(text):
        found = step(found)
    return found


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        return _index(int(match["index"]))
    if match["all"] is not None or match["name"] == "*":
        return _children
    if match["field"] is not None:
        return _filter(match["field"], match["op"], match["value"])
    name = match["quoted"] if match["quoted"] is not None else match["name"].replace("\\.", ".")
    return lambda found: [v[name] for v in found if isinstance(v, dict) and name in v]


def _index(index: int) -> Step:
    def step(found: Iterable[Any]) -> list[Any]:
        return [v[index] for v in found if isinstance(v, list) and -len(v) <= index < len(v)]

    return step


def _children(found: Iterable[Any]) -> list[Any]:
    out: list[Any] = []
    for value in found:
        if isinstance(value, dict):
            out.extend(value.values())
        elif isinstance(value, list):
            out.extend(value)
    return out


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def _filter(field: str, operator: str | None, literal: str | None) -> Step:
    names = field.split(".")
    wanted = _literal(literal) if literal is not None else None

    def fits(value: Any) -> bool:
        for name in names:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        if operator is None:
            return True
        if type(value) is not type(wanted) and operator not in ("==", "!="):
            return False
        return _COMPARE[operator](value, wanted)

    return lambda found: [v for v in _children(found) if fits(v)]


def _literal(text: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text
