"""What a custom object must have where its definition says that the scale is. Pure.

Upstream reads these fields with Go's accessors; the messages are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.apiserver.registry import ScalePaths
from cloudwright.model import fields
from cloudwright.model.fields import FieldError

_MOST = (1 << 31) - 1
_ABSENT: object = object()


def errors(obj: Mapping[str, Any], paths: ScalePaths) -> list[FieldError]:
    """What is wrong with the numbers of replicas and the selector."""
    found = _number(obj, f".{paths.spec_replicas}") + _number(obj, f".{paths.status_replicas}")
    if paths.selector:
        where = f".{paths.selector}"
        value, problem = _at(obj, where)
        if not problem and value is not _ABSENT and not isinstance(value, str):
            problem = _mistyped(where, value, "string")
        if problem:
            found.append(fields.invalid(where, "", problem))
    return found


def _number(obj: Mapping[str, Any], path: str) -> list[FieldError]:
    value, problem = _at(obj, path)
    if not problem and value is _ABSENT:
        return []
    if not problem and type(value) is not int:
        problem = _mistyped(path, value, "int64")
    if problem:
        return [fields.invalid(path, 0, problem)]
    if value < 0:
        return [fields.invalid(path, value, "should be a non-negative integer")]
    if value > _MOST:
        return [fields.invalid(path, value, f"should be less than or equal to {_MOST}")]
    return []


def _at(obj: Mapping[str, Any], path: str) -> tuple[Any, str]:
    """The value at a dotted path, and what is in the way there."""
    value: Any = obj
    way = ""
    for name in path.removeprefix(".").split("."):
        if value is None:
            return _ABSENT, ""
        way += f".{name}"
        if not isinstance(value, Mapping):
            return None, _mistyped(way, value, "map[string]interface{}")
        if name not in value:
            return _ABSENT, ""
        value = value[name]
    return value, ""


def _mistyped(way: str, value: Any, wanted: str) -> str:
    return f"{way} accessor error: {_shown(value)} is of the type {_kind(value)}, expected {wanted}"


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    names = {str: "string", bool: "bool", int: "int64", float: "float64", type(None): "<nil>"}
    return names.get(type(value), "[]interface {}")


def _shown(value: Any) -> str:
    """A value as Go's ``%v`` writes it."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{k}:{_shown(value[k])}' for k in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
