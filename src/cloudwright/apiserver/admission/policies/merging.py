"""How an ``ApplyConfiguration`` joins an object: by the merge rules of its schema. Pure.

The rules are server-side apply's (structured merge): maps merge, ``listType: map`` by key,
``listType: set`` by value, everything else is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import schemas

Schema = Mapping[str, Any] | None


class MergeError(Exception):
    """The configuration cannot be merged; says why."""


def merge(schema: Schema, live: Any, given: Any, path: str = "") -> Any:
    """``live`` with what ``given`` states; neither is changed.

    Raises:
        MergeError: an atomic list or map would be cut short, which apply configurations may not.
    """
    schema = schemas.resolve(dict(schema)) if schema else None
    if isinstance(given, dict) and isinstance(live, dict):
        if schema and schema.get("x-kubernetes-map-type") == "atomic":
            raise MergeError(f"may not mutate atomic arrays, maps or structs: {path}")
        return _merge_map(schema, live, given, path)
    if isinstance(given, list) and isinstance(live, list):
        return _merge_list(schema, live, given, path)
    return given


def _merge_map(schema: Schema, live: dict[str, Any], given: dict[str, Any], path: str) -> Any:
    result = dict(live)
    for name, value in given.items():
        below = _child(schema, name)
        where = f"{path}.{name}"
        if value is None:
            result.pop(name, None)
        elif name in live:
            result[name] = merge(below, live[name], value, where)
        else:
            result[name] = value
    return result


def _merge_list(schema: Schema, live: list[Any], given: list[Any], path: str) -> Any:
    kind = (schema or {}).get("x-kubernetes-list-type", "atomic")
    if kind == "set":
        return [*live, *(value for value in given if value not in live)]
    if kind != "map":
        raise MergeError(f"may not mutate atomic arrays, maps or structs: {path}")
    assert schema is not None
    keys: list[str] = list(schema.get("x-kubernetes-list-map-keys") or ())
    items: Schema = schema.get("items")
    defaults = _defaults(items, keys)

    def identity(entry: Any) -> tuple[Any, ...]:
        found = entry if isinstance(entry, dict) else {}
        return tuple(found.get(key, defaults.get(key)) for key in keys)

    result = list(live)
    places = {identity(entry): index for index, entry in enumerate(live)}
    for entry in given:
        at = places.get(identity(entry))
        if at is None:
            places[identity(entry)] = len(result)
            result.append(entry)
        else:
            result[at] = merge(items, result[at], entry, f"{path}[{at}]")
    return result


def _child(schema: Schema, name: str) -> Schema:
    if not schema:
        return None
    found = (schema.get("properties") or {}).get(name)
    if found is None:
        more = schema.get("additionalProperties")
        found = more if isinstance(more, dict) else None
    return found


def _defaults(items: Schema, keys: list[str]) -> dict[str, Any]:
    found = schemas.resolve(dict(items)) if items else {}
    properties = found.get("properties") or {}
    return {key: (properties.get(key) or {}).get("default") for key in keys}
