"""What a filter declares: which requests it is for, and how many failures are too many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FILTER_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


class DeclarationError(ValueError):
    """An attribute of a filter does not say what it should; ``attribute`` names it."""

    def __init__(self, attribute: str, message: str) -> None:
        super().__init__(f"{attribute}: {message}")
        self.attribute = attribute


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a filter is for: all of the given predicates must hold.

    - ``host``: ``shop.example``, ``*.example`` (any subdomain), one or several; ports are ignored
    - ``path``: ``/a`` exactly, ``/a/*`` all that begins with ``/a/``, ``~^/v[0-9]+/`` a regular
      expression (of the Rust crate ``regex``); without the query
    - ``method``: ``GET``, one or several
    - ``headers``: for each name ``True`` (present), ``False`` (absent), ``"text"`` exactly,
      ``"text*"`` begins with, ``"~expression"``; any of its lines
    """

    host: str | Sequence[str] = ()
    path: str | Sequence[str] = ()
    method: str | Sequence[str] = ()
    headers: dict[str, str | bool] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The form that the proxy is told.

        Raises:
            DeclarationError: a pattern that cannot match.
        """
        hosts = [text.lower() for text in _texts("match.host", self.host)]
        for text in hosts:
            if "*" in text.removeprefix("*.") or not text.removeprefix("*."):
                raise DeclarationError(
                    "match.host", f"{text!r}: a star may only lead, as *.example"
                )
        paths = _texts("match.path", self.path)
        for text in paths:
            if text.startswith("~"):
                _expression("match.path", text[1:])
            elif not text.startswith("/") or "*" in text[:-1] or "?" in text:
                raise DeclarationError(
                    "match.path", f"{text!r} is neither /a, /a/* nor ~expression"
                )
        headers = {}
        for name, value in self.headers.items():
            if not isinstance(value, bool | str):
                raise DeclarationError(
                    "match.headers", f"{name}: True, False or a text, not {value!r}"
                )
            if isinstance(value, str) and value.startswith("~"):
                _expression("match.headers", value[1:])
            headers[name.lower()] = value
        methods = [text.upper() for text in _texts("match.method", self.method)]
        return {"hosts": hosts, "paths": paths, "methods": methods, "headers": headers}


@dataclass(frozen=True, slots=True)
class Budget:
    """After ``errors`` failures within ``window_s`` seconds the proxy stops asking this filter for
    ``open_s`` seconds; then one request is tried. 0 errors: it never stops.
    """

    errors: int = 20
    window_s: float = 10.0
    open_s: float = 5.0

    def describe(self) -> dict[str, Any]:
        """The form that the proxy is told.

        Raises:
            DeclarationError: a number out of its range.
        """
        if self.errors < 0 or self.errors > 100_000:
            raise DeclarationError("budget", f"errors: 0-100000, not {self.errors}")
        for name in ("window_s", "open_s"):
            if not 0.001 <= getattr(self, name) <= 3600:
                raise DeclarationError("budget", f"{name}: 0.001-3600, not {getattr(self, name)}")
        return asdict(self)


def matches_of(value: object) -> list[dict[str, Any]]:
    """``match`` of a filter as the proxy is told: any of them must hold.

    Raises:
        DeclarationError: it is no ``Match``.
    """
    found = []
    for one in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(one, Match):
            raise DeclarationError("match", f"a Match or a list of them, not {one!r}")
        found.append(one.describe())
    return found


def match_from(value: object) -> list[Match]:
    """``match`` of a YAML file: a mapping or a list of them.

    Raises:
        DeclarationError: an unknown field or a wrong type.
    """
    several = value if isinstance(value, list) else [value]
    found = []
    for one in several:
        if not isinstance(one, dict):
            raise DeclarationError("match", f"a mapping or a list of mappings, not {one!r}")
        if unknown := set(one) - {"host", "path", "method", "headers"}:
            raise DeclarationError(
                "match", f"no such field: {', '.join(sorted(map(str, unknown)))}"
            )
        if not isinstance(one.get("headers", {}), dict):
            raise DeclarationError("match.headers", "a mapping of names")
        found.append(Match(**one))
    return found


def budget_from(value: object) -> Budget:
    """``budget`` of a YAML file.

    Raises:
        DeclarationError: an unknown field or a wrong type.
    """
    if not isinstance(value, dict) or set(value) - {"errors", "window_s", "open_s"}:
        raise DeclarationError("budget", "a mapping of errors, window_s and open_s")
    for name, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise DeclarationError("budget", f"{name}: a number, not {number!r}")
    return Budget(**value)


def _texts(attribute: str, value: str | Sequence[str]) -> list[str]:
    several = [value] if isinstance(value, str) else list(value)
    for one in several:
        if not isinstance(one, str) or not one:
            raise DeclarationError(attribute, f"a text or a list of texts, not {one!r}")
    return several


def _expression(attribute: str, text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise DeclarationError(attribute, f"~{text}: {error}") from None
