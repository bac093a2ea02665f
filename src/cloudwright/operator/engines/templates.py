"""Pod templates: comparing them, naming them by a hash, and whether a wish is already granted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from cloudwright.model import quantities
from cloudwright.model.objects import Object

HASH_LABEL = "pod-template-hash"
_AMOUNTS = ("limits", "requests")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels: a hash must not spell a word (upstream's ``SafeEncodeString``)."""


def copy(obj: Mapping[str, Any]) -> Object:
    """A deep copy of a JSON object."""
    return dict(_copy(obj))


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is dict:
        return {key: _copy(item) for key, item in value.items()}
    if kind is list:
        return [_copy(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


def digest(value: Any, length: int = 10) -> str:
    """A short stable name for a JSON value, usable inside object names."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    number = int.from_bytes(hashlib.sha256(text).digest()[:10], "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def without_hash(template: Mapping[str, Any]) -> Object:
    """A template without the hash label and without empty metadata that only servers add."""
    result = copy(template)
    metadata = result.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    kept = {
        key: value
        for key, value in {**metadata, "labels": labels}.items()
        if value and key != "creationTimestamp"
    }
    result["metadata"] = kept
    return result


def significant(value: Any) -> Any:
    """A JSON value without members that are empty: typed clients write ``resources: {}`` where
    others write nothing, and mean the same.
    """
    if isinstance(value, Mapping):
        kept = {key: significant(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", {}, [])}
    if isinstance(value, list | tuple):
        return [significant(item) for item in value]
    return value


def same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two templates make the same pods (upstream's ``EqualIgnoreHash``)."""
    return bool(significant(without_hash(one)) == significant(without_hash(other)))


def template_hash(template: Mapping[str, Any], collisions: int = 0) -> str:
    """The value of ``pod-template-hash``; ``collisions`` makes another one after a clash."""
    return digest([significant(without_hash(template)), collisions])


def _same_amounts(actual: Any, wish: Any) -> bool:
    if not isinstance(actual, Mapping) or not isinstance(wish, Mapping):
        return grants(actual, wish)
    return all(
        key in actual and quantities.parse(actual[key]) == quantities.parse(value)
        for key, value in wish.items()
    )


def grants(actual: Any, wish: Any) -> bool:
    """Whether ``actual`` holds everything in ``wish``; a server may have added defaults.

    Mappings are compared by the wish's keys, lists element by element, quantities by their worth
    (a server writes ``0.5`` as ``500m``).
    """
    if type(wish) is str or type(wish) is int:
        return bool(actual == wish)
    if isinstance(wish, Mapping):
        if not isinstance(actual, Mapping):
            return not wish and actual is None
        return all(
            _same_amounts(actual.get(key), value)
            if key in _AMOUNTS
            else grants(actual.get(key), value)
            for key, value in wish.items()
        )
    if isinstance(wish, list | tuple):
        if not isinstance(actual, list | tuple):
            return not wish and actual is None
        return len(actual) == len(wish) and all(
            grants(one, other) for one, other in zip(actual, wish, strict=True)
        )
    return bool(actual == wish)
