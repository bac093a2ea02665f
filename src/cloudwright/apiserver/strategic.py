"""Strategic merge patch: a merge patch that knows which lists merge by key. Pure.

Directives: ``$patch: replace|delete|merge``, ``$deleteFromPrimitiveList/FIELD``,
``$setElementOrder/FIELD``, ``$retainKeys``. Where a list merges, and by what key, the caller says
(``MergeKey``); all other lists are replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MergeKey = Callable[[tuple[str, ...]], tuple[str, str] | None]
"""``(path)`` → ``(strategy, merge key)``; the key is empty for lists of scalars."""

_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"
_PATCH = "$patch"


class PatchError(ValueError):
    """The patch contradicts itself or does not fit the schema."""


def merge(target: dict[str, Any], patch: dict[str, Any], merge_key: MergeKey) -> dict[str, Any]:
    """``target`` (changed) with ``patch`` applied.

    Raises:
        PatchError: a directive is malformed, or an element lacks its merge key.
    """
    return _Merger(merge_key).objects(target, patch, ())


class _Merger:
    """Walks target and patch together."""

    def __init__(self, merge_key: MergeKey) -> None:
        self._merge_key = merge_key

    def objects(
        self, target: dict[str, Any], patch: dict[str, Any], path: tuple[str, ...]
    ) -> dict[str, Any]:
        """The merged object."""
        directive = patch.get(_PATCH)
        if directive == "replace":
            return {name: plain(value) for name, value in patch.items() if name != _PATCH}
        if directive == "delete":
            return {}
        if directive not in (None, "merge"):
            raise PatchError(f"unknown $patch directive {directive!r} at {_shown(path)}")
        self._retain(target, patch, path)
        for name, value in patch.items():
            if not name.startswith("$"):
                self._field(target, patch, name, value, path)
        # Directives for lists that the patch itself does not touch.
        for name in patch:
            for prefix in (_DELETE, _ORDER):
                field = name.removeprefix(prefix)
                if name.startswith(prefix) and field not in patch and field in target:
                    target[field] = self._list(target[field], [], patch, field, (*path, field))
        return target

    def _field(
        self,
        target: dict[str, Any],
        patch: dict[str, Any],
        name: str,
        value: Any,
        path: tuple[str, ...],
    ) -> None:
        here = (*path, name)
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            old = target.get(name)
            found = self._merge_key(here) if _PATCH not in value else None
            if isinstance(old, dict) and not (found and "replace" in found[0].split(",")):
                if value.get(_PATCH) == "delete":
                    target.pop(name)
                else:
                    target[name] = self.objects(old, value, here)
            elif value.get(_PATCH) != "delete":
                target[name] = plain(value)
        elif isinstance(value, list):
            old = target.get(name)
            target[name] = self._list(
                old if isinstance(old, list) else [], value, patch, name, here
            )
        else:
            target[name] = value

    def _retain(self, target: dict[str, Any], patch: dict[str, Any], path: tuple[str, ...]) -> None:
        keys = patch.get(_RETAIN)
        if keys is None:
            return
        if not isinstance(keys, list):
            raise PatchError(f"$retainKeys at {_shown(path)} must be a list")
        for name, value in patch.items():
            if not name.startswith("$") and value is not None and name not in keys:
                raise PatchError(f"$retainKeys at {_shown(path)} does not list {name}")
        for name in [name for name in target if name not in keys]:
            del target[name]

    def _list(
        self,
        old: list[Any],
        new: list[Any],
        patch: dict[str, Any],
        name: str,
        path: tuple[str, ...],
    ) -> list[Any]:
        found = self._merge_key(path)
        if found is None or "merge" not in found[0].split(","):
            return [plain(value) for value in new]
        order = patch.get(_ORDER + name)
        key = found[1]
        if not key:
            removed = patch.get(_DELETE + name) or []
            merged: list[Any] = [value for value in old if value not in removed]
            merged += [value for value in new if value not in merged]
            return _ordered(merged, old, order, lambda value: value)
        merged = self._keyed(list(old), new, key, path)
        return _ordered(merged, old, order, lambda value: _key(value, key))

    def _keyed(
        self, merged: list[Any], new: list[Any], key: str, path: tuple[str, ...]
    ) -> list[Any]:
        for value in new:
            if not isinstance(value, dict):
                raise PatchError(f"the elements of {_shown(path)} must be objects")
        if any(value.get(_PATCH) == "replace" for value in new):
            return [plain(value) for value in new if value.get(_PATCH) != "replace"]
        for value in new:
            if key not in value:
                raise PatchError(f"an element of {_shown(path)} lacks its merge key {key!r}")
            same = [at for at, one in enumerate(merged) if _key(one, key) == value[key]]
            if value.get(_PATCH) == "delete":
                merged = [one for at, one in enumerate(merged) if at not in same]
            elif same:
                merged[same[0]] = self.objects(merged[same[0]], value, path)
            else:
                merged.append(plain(value))
        return merged


def plain(value: Any) -> Any:
    """A part of a patch as it stands alone: without directives and nulls."""
    if isinstance(value, dict):
        return {
            name: plain(inner)
            for name, inner in value.items()
            if not name.startswith("$") and inner is not None
        }
    if isinstance(value, list):
        return [
            plain(inner)
            for inner in value
            if not (isinstance(inner, dict) and inner.get(_PATCH) in ("delete", "replace"))
        ]
    return value


def _ordered(
    merged: list[Any], old: list[Any], order: Any, identity: Callable[[Any], Any]
) -> list[Any]:
    """``merged`` in the asked order. What the order does not name keeps its place relative to
    its neighbours of the old list.
    """
    if not isinstance(order, list):
        return merged
    wanted = [identity(value) if isinstance(value, dict) else value for value in order]
    named = [value for value in merged if identity(value) in wanted]
    named.sort(key=lambda value: wanted.index(identity(value)))
    before = [identity(value) for value in old]
    others = [value for value in merged if identity(value) not in wanted]
    for value in others:
        named.insert(_place(named, value, before, identity), value)
    return named


def _place(named: list[Any], value: Any, before: list[Any], identity: Callable[[Any], Any]) -> int:
    """Where ``value`` goes: before the first element that came after it in the old list."""
    if identity(value) not in before:
        return len(named)
    mine = before.index(identity(value))
    for at, other in enumerate(named):
        if identity(other) in before and before.index(identity(other)) > mine:
            return at
    return len(named)


def _key(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _shown(path: tuple[str, ...]) -> str:
    return ".".join(path) or "the root"
