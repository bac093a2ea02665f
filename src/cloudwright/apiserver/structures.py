"""The structural schemas of custom resources: pruning, defaults and validation by compiled schemas.

``Structure`` is the door to the crate ``structural``. What it says is wrong with an object is in
upstream's words; what an update leaves as it was is tolerated (ratcheting) and becomes a warning
where a rule of ``x-kubernetes-validations`` was broken before already.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import orjson

from cloudwright.apiserver import native
from cloudwright.model.fields import OMITTED, FieldError, Reason, Verdict
from cloudwright.model.objects import Object


class Structure:
    """One compiled schema; thread-safe."""

    __slots__ = ("_native",)

    def __init__(self, schema: bytes) -> None:
        self._native = native.StructuralSchema(schema)

    @property
    def has_defaults(self) -> bool:
        """Whether it fills in anything."""
        return self._native.has_defaults

    def prepare(self, obj: Object) -> tuple[Object, list[str]]:
        """``obj`` pruned and with defaults (itself when it needs neither), and the sorted paths of
        the fields that were unknown. ``apiVersion``, ``kind`` and ``metadata`` are left alone.

        Raises:
            RecursionError: it is nested too deeply.
        """
        found, unknown = self._native.prepare(obj)
        return (obj if found is None else found), unknown

    def validate(self, obj: Object, old: Object | None) -> Verdict:
        """What is wrong with ``obj``; with ``old``, what did not change is tolerated."""
        found = self._native.validate(obj, old)
        if found is None:
            return Verdict()
        rows, warnings = found
        errors = [_error(*row) for row in rows]
        return Verdict(errors, warnings)

    def rule_errors(self, path: str) -> list[FieldError]:
        """What is wrong with the schema's own rules; ``path`` is where the schema stands."""
        return [
            FieldError(f"{path}.{where}.{field}", "Invalid", message, orjson.loads(rule))
            for where, field, rule, message in self._native.rule_problems()
        ]

    def rule_costs(self, path: str) -> list[tuple[str, int]]:
        """Where each expression of a rule stands, and what it can cost at most (CEL's units)."""
        found = self._native.rule_costs()
        return [(f"{path}.{where}.{field}", cost) for where, field, cost in found]


def pattern_problem(text: str) -> str:
    """Why a text is no regular expression as Go writes them; empty when it is one."""
    return native.pattern_problem(text)


def of(schema: Mapping[str, Any]) -> Structure:
    """The structure of a schema; the newest few hundred are kept."""
    return _compiled(orjson.dumps(schema))


@lru_cache(maxsize=512)
def _compiled(schema: bytes) -> Structure:
    return Structure(schema)


def _error(path: str, reason: str, message: str, shown: bool, value: Any) -> FieldError:
    return FieldError(path, cast(Reason, reason), message, value if shown else OMITTED)
