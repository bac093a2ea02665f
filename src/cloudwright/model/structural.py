"""Check, prune and default a value by a structural schema (OpenAPI v3 as CRDs use it).

Works on the schemas of ``schemas.py``, whose ``$ref``s it follows by the ``resolve`` function it is
given, and on CRDs' inlined ones. Pure; schemas are never changed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from cloudwright.model import durations
from cloudwright.model.fields import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
    unknown,
)

Schema = Mapping[str, Any]
Resolve = Callable[[Schema], Schema]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_BOUNDS = {"int32": 1 << 31, "int64": 1 << 63}
_META = ("apiVersion", "kind", "metadata")


def as_is(schema: Schema) -> Schema:
    """The schema itself: for schemas without ``$ref``."""
    return schema


def join(path: str, field: str) -> str:
    """``path.field``, or ``field`` at the root."""
    return f"{path}.{field}" if path else field


class Checker:
    """Collects what is wrong with a value."""

    def __init__(self, resolve: Resolve, *, nulls: bool) -> None:
        self._resolve = resolve
        self._nulls = nulls  # null means "not set" (built-in kinds), not a value of a wrong type

    def check(self, schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
        """Every error of ``value``, in document order."""
        schema = self._resolve(schema)
        if value is None:
            if not self._nulls and not schema.get("nullable") and ("type" in schema):
                yield invalid(path, None, f"must be of type {schema['type']}")
            return
        wrong = _type_error(schema, value, path)
        if wrong is not None:
            yield wrong
            return
        yield from _enumerated(schema, value, path)
        if isinstance(value, str):
            yield from _text(schema, value, path)
        elif isinstance(value, dict):
            yield from self._object(schema, value, path)
        elif isinstance(value, list):
            yield from self._array(schema, value, path)
        elif not isinstance(value, bool):
            yield from _number(schema, value, path)
        yield from self._combined(schema, value, path)

    def _object(self, schema: Schema, value: dict[str, Any], path: str) -> Iterator[FieldError]:
        properties = schema.get("properties", {})
        lax = self._nulls and path.startswith("status")  # Go decodes what is missing as zero
        for name in () if lax else schema.get("required", ()):
            if value.get(name) is None:
                yield required(join(path, name))
        more = schema.get("additionalProperties")
        for name, inner in value.items():
            if name in properties:
                yield from self.check(properties[name], inner, join(path, name))
            elif isinstance(more, Mapping):
                yield from self.check(more, inner, f"{path}[{name}]")
        if len(value) < schema.get("minProperties", 0):
            yield invalid(path, len(value), f"must have at least {schema['minProperties']} entries")
        if len(value) > schema.get("maxProperties", len(value)):
            yield invalid(path, len(value), f"must have at most {schema['maxProperties']} entries")

    def _array(self, schema: Schema, value: list[Any], path: str) -> Iterator[FieldError]:
        items = schema.get("items")
        if isinstance(items, Mapping):
            for index, inner in enumerate(value):
                yield from self.check(items, inner, f"{path}[{index}]")
        if len(value) < schema.get("minItems", 0):
            yield invalid(path, len(value), f"must have at least {schema['minItems']} items")
        if len(value) > schema.get("maxItems", len(value)):
            yield invalid(path, len(value), f"must have at most {schema['maxItems']} items")
        yield from _unique(schema, value, path)

    def _combined(self, schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
        for part in schema.get("allOf", ()):
            yield from self.check(part, value, path)
        if (choices := schema.get("anyOf")) and not any(self._fits(c, value) for c in choices):
            yield invalid(path, _brief(value), "must fit at least one schema of anyOf")
        if choices := schema.get("oneOf"):
            fitting = sum(self._fits(c, value) for c in choices)
            if fitting != 1:
                yield invalid(
                    path, _brief(value), f"must fit exactly one schema of oneOf, fits {fitting}"
                )
        if (no := schema.get("not")) is not None and self._fits(no, value):
            yield invalid(path, _brief(value), "must not fit the schema of not")

    def _fits(self, schema: Schema, value: Any) -> bool:
        return next(self.check(schema, value, ""), None) is None


def unknown_fields(
    schema: Schema, value: Any, resolve: Resolve = as_is, path: str = ""
) -> Iterator[FieldError]:
    """The fields of ``value`` that ``schema`` does not know, with a suggestion where one is near.

    The root and embedded resources always have ``apiVersion``, ``kind`` and ``metadata``.
    """
    for where, holder, name, known in _unspecified(schema, value, resolve, path):
        del holder
        near = get_close_matches(name, known, n=1, cutoff=0.7)
        yield unknown(join(where, name), f'did you mean "{near[0]}"?' if near else "")


def prune(schema: Schema, value: Any, resolve: Resolve = as_is) -> Any:
    """``value`` without the fields that ``schema`` does not know (a changed copy if any)."""
    if not any(True for _ in _unspecified(schema, value, resolve, "")):
        return value
    value = copy.deepcopy(value)
    for _where, holder, name, _known in list(_unspecified(schema, value, resolve, "")):
        del holder[name]
    return value


def apply_defaults(schema: Schema, value: Any, resolve: Resolve = as_is) -> Any:
    """``value`` with the schema's ``default``s where a field is missing (or null but not nullable
    and defaulted), filled in place and returned.
    """
    schema = resolve(schema)
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, inner in properties.items():
            if "default" in inner and (
                name not in value or (value[name] is None and not inner.get("nullable"))
            ):
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                apply_defaults(inner, value[name], resolve)
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            for name, inner_value in value.items():
                if name not in properties:
                    apply_defaults(more, inner_value, resolve)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for inner_value in value:
            apply_defaults(schema["items"], inner_value, resolve)
    return value


def _unspecified(
    schema: Schema, value: Any, resolve: Resolve, path: str, *, root: bool = True
) -> Iterator[tuple[str, dict[str, Any], str, tuple[str, ...]]]:
    """``(path, holder, field, known fields)`` of every field that no schema speaks of."""
    schema = resolve(schema)
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for index, inner in enumerate(value):
                yield from _unspecified(items, inner, resolve, f"{path}[{index}]", root=False)
        return
    if not isinstance(value, dict) or not _closed(schema):
        return
    embedded = root or bool(schema.get("x-kubernetes-embedded-resource"))
    properties = schema.get("properties") or {}
    more = schema.get("additionalProperties")
    for name, inner in value.items():
        if name in properties:
            yield from _unspecified(properties[name], inner, resolve, join(path, name), root=False)
        elif isinstance(more, Mapping):
            yield from _unspecified(more, inner, resolve, f"{path}[{name}]", root=False)
        elif more is True or schema.get(PRESERVE) or (embedded and name in _META):
            continue
        else:
            yield path, value, name, tuple(properties)


def _closed(schema: Schema) -> bool:
    """Whether the schema says anything about an object's fields (else it takes any value)."""
    return "type" in schema or "properties" in schema


def _type_error(schema: Schema, value: Any, path: str) -> FieldError | None:
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        if isinstance(value, int | str) and not isinstance(value, bool):
            return None
        return invalid(path, _brief(value), "must be an integer or a string")
    wanted = schema.get("type")
    if wanted is None or wanted not in _TYPES:
        return None
    if schema.get("format") == "quantity" and isinstance(value, int | float | str):
        return None if not isinstance(value, bool) else invalid(path, value, "must be a quantity")
    if isinstance(value, bool) and wanted != "boolean":
        return invalid(path, value, f"must be of type {wanted}")
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return None
    if isinstance(value, _TYPES[wanted]):
        return None
    return invalid(path, _brief(value), f"must be of type {wanted}")


def _enumerated(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        yield not_supported(path, value, [str(one) for one in allowed])


def _number(schema: Schema, value: float, path: str) -> Iterator[FieldError]:
    bound = _BOUNDS.get(schema.get("format", ""))
    if bound is not None and schema.get("type") == "integer" and not -bound <= value < bound:
        yield invalid(path, value, f"must fit {schema['format']}")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(path, value, f"must be {than} {low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(path, value, f"must be {than} {high}")
    step = schema.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        yield invalid(path, value, f"must be a multiple of {step}")


def _text(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    if len(value) < schema.get("minLength", 0):
        what = "may not be empty" if not value else f"must have {schema['minLength']} characters"
        yield invalid(path, value, what)
        return
    if len(value) > schema.get("maxLength", len(value)):
        yield too_long(path, schema["maxLength"], "characters")
    pattern = schema.get("pattern")
    if pattern is not None:
        compiled = _pattern(pattern)
        if compiled is None:
            yield forbidden(path, f"the schema's pattern {pattern!r} is not understood here")
        elif not compiled.search(value):
            yield invalid(path, value, f"must match {pattern}")
    problem = _format_problem(schema.get("format", ""), value)
    if problem:
        yield invalid(path, value, problem)


def _format_problem(name: str, value: str) -> str:
    try:
        if name == "date-time":
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return "" if moment.tzinfo and "T" in value else "must be an RFC 3339 time with a zone"
        if name == "date":
            datetime.strptime(value, "%Y-%m-%d")
        elif name == "duration":
            durations.parse(value)
        elif name == "byte":
            import base64

            base64.b64decode(value, validate=True)
    except ValueError as error:
        return {
            "date-time": "must be an RFC 3339 time such as 2026-01-31T08:00:00Z",
            "date": "must be a date such as 2026-01-31",
            "byte": "must be base64",
        }.get(name, str(error))
    return ""


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str] | None:
    """RE2 text as a Python pattern: ``$`` means the very end; unknown classes are translated."""
    translated = text.replace(r"\z", r"\Z").replace("[[:alnum:]]", "[0-9A-Za-z]")
    translated = re.sub(r"(?<!\\)\$(?=$|\))", r"\\Z", translated)
    try:
        return re.compile(translated)
    except re.error:
        return None


def _unique(schema: Schema, value: list[Any], path: str) -> Iterator[FieldError]:
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if kind == "map" and len(keys) > 1:
        return  # upstream's own kinds default the missing keys only after this check
    if kind not in ("map", "set") and not schema.get("uniqueItems"):
        return
    seen: list[Any] = []
    for index, inner in enumerate(value):
        if kind == "map":
            if not isinstance(inner, dict):
                continue
            one: Any = tuple(inner.get(key) for key in keys)
        else:
            one = inner
        if one in seen:
            shown = dict(zip(keys, one, strict=True)) if kind == "map" else inner
            yield duplicate(f"{path}[{index}]", shown)
        seen.append(one)


def _brief(value: Any) -> Any:
    """What an error message shows: the scalar, or the name of the container's type."""
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else value
