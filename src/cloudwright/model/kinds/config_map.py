"""ConfigMap: text and bytes by file name. The API server limits their size."""

from __future__ import annotations

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import IMMUTABLE, KindSpec, mapping, wrong
from cloudwright.model.objects import Object

SIZE_MAX = 1 << 20
"""Bytes of all values together."""


def data_errors(obj: Object, old: Object | None, *kinds: str) -> list[FieldError]:
    """Keys and immutability of a ConfigMap's or Secret's data."""
    found: list[FieldError] = []
    last = mapping(obj, kinds[-1]) if len(kinds) > 1 else {}
    for kind in kinds:
        for key in mapping(obj, kind):
            problems = names.config_key_problems(key)
            if problems:
                found += wrong(f"{kind}[{key}]", key, problems)
            if last and key in last and kind != kinds[-1]:
                message = f"duplicate of key present in {kinds[-1]}"
                found.append(fields.invalid(f"{kind}[{key}]", key, message))
    found += _size_errors(obj, kinds)
    if old is not None and old.get("immutable"):
        if not obj.get("immutable"):
            message = "field is immutable when `immutable` is set"
            found.append(fields.forbidden("immutable", message))
        for kind in kinds:
            if mapping(obj, kind) != mapping(old, kind):
                message = f"{IMMUTABLE} when `immutable` is set"
                found.append(fields.forbidden(kind, message))
    return found


def _size_errors(obj: Object, kinds: tuple[str, ...]) -> list[FieldError]:
    size = 0
    for kind in kinds:
        if kind in obj:
            size += sum(map(len, mapping(obj, kind).values()))
    if size * 4 <= SIZE_MAX:
        return []  # whatever characters they are
    size = 0
    for kind in kinds:
        for value in mapping(obj, kind).values():
            plain = obj.get("kind") == "ConfigMap" and kind == "data"
            size += len(value.encode()) if plain else len(value) // 4 * 3 - value[-2:].count("=")
    where = "data" if len(kinds) == 1 else "[]"
    return [fields.too_long(where, SIZE_MAX)] if size > SIZE_MAX else []


def _check(config_map: Object, old: Object | None) -> list[FieldError]:
    return data_errors(config_map, old, "data", "binaryData")


SPEC = KindSpec(resources.CONFIG_MAP, check=_check)
