"""Strategic merge patch: a merge patch that knows which lists merge by key. Pure.

Directives: ``$patch: replace|delete|merge``, ``$deleteFromPrimitiveList/FIELD``,
``$setElementOrder/FIELD``, ``$retainKeys``. Where a list merges, and by what key, the caller says
(``MergeKey``); all other lists are replaced. Steps and refusals are those of apimachinery's
``strategicpatch`` (``StrategicMergeMapPatch``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

MergeKey = Callable[[tuple[str, ...]], tuple[str, str] | None]
"""``(path)`` → ``(strategy, merge key)``; the key is empty for lists of scalars."""

_DELETE = "$deleteFromPrimitiveList"
_ORDER = "$setElementOrder"
_RETAIN = "$retainKeys"
_PATCH = "$patch"
_BAD_PRIMITIVE = "invalid patch format of primitive list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"
_NO_LISTS = "lists of lists are not supported"


class PatchError(ValueError):
    """The patch contradicts itself or does not fit the schema; ``http_status`` is upstream's."""

    def __init__(self, message: str, http_status: int = 500) -> None:
        super().__init__(message)
        self.http_status = http_status


def merge(target: dict[str, Any], patch: dict[str, Any], merge_key: MergeKey) -> dict[str, Any]:
    """``target`` with ``patch`` applied; both are changed.

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
        if _PATCH in patch:
            directive = patch[_PATCH]
            if directive == "replace":
                return {name: value for name, value in patch.items() if name != _PATCH}
            if directive == "delete":
                return {}
            raise PatchError(f"unknown patch type: {directive} in map: {shown(patch)}")
        _retain(target, patch)
        for name in [name for name in patch if name.startswith(_ORDER)]:
            if name in patch:
                self._ordered_list(target, patch, name, path)
        # Upstream takes these two in no order.
        for name, value in patch.items():
            if name.startswith(_DELETE):
                self._delete_from(target, _field_of(name, _DELETE, _BAD_PRIMITIVE), value)
        for name, value in patch.items():
            if not name.startswith(_DELETE):
                self._field(target, name, value, path)
        return target

    def _strategy(self, path: tuple[str, ...]) -> tuple[str, str]:
        """The strategy without ``retainKeys``, and the merge key."""
        found = self._merge_key(path)
        if found is None:
            return "", ""
        strategies = [one for one in found[0].split(",") if one != "retainKeys"]
        return (strategies[0] if strategies else ""), found[1]

    def _field(self, target: dict[str, Any], name: str, value: Any, path: tuple[str, ...]) -> None:
        if value is None:
            target.pop(name, None)
            return
        old, here = target.get(name), (*path, name)
        if isinstance(old, dict) and isinstance(value, dict):
            strategy, _ = self._strategy(here)
            target[name] = value if strategy == "replace" else self.objects(old, value, here)
        elif isinstance(old, list) and isinstance(value, list):
            strategy, key = self._strategy(here)
            if strategy == "merge":
                target[name] = self._lists(old, value, key, here)
            else:
                target[name] = value
        else:
            kept, value = _plain(_without_nulls(value))
            if kept:
                target[name] = value
            else:
                target.pop(name, None)

    @staticmethod
    def _delete_from(target: dict[str, Any], name: str, value: Any) -> None:
        old = target.get(name)
        if value is None:
            target.pop(name, None)
        elif isinstance(old, list) and isinstance(value, list) and (old or value):
            if _element_type(old, value) is dict:
                raise PatchError("cannot merge lists without merge key for struct")
            target[name] = [one for one in old if not _among(value, one)]

    def _ordered_list(
        self, target: dict[str, Any], patch: dict[str, Any], name: str, path: tuple[str, ...]
    ) -> None:
        """Merge a list whose order the patch gives, and take both out of the patch."""
        order, field = patch.pop(name), _field_of(name, _ORDER, _BAD_ORDER)
        if not isinstance(order, list):
            raise PatchError(f"expected a []interface {{}}, but received a {_go_type(order)}")
        old, new = target.get(field), patch.get(field)
        for value in (old, new):
            if value is not None and not isinstance(value, list):
                text = f"expected a []interface {{}}, but received a {_go_type(value)}"
                raise PatchError(text)
        strategy, key = self._strategy((*path, field))
        _check_order(new or [], order, key)
        if field not in target and field not in patch:
            return
        if field not in patch:
            merged = old or []
        elif field not in target:
            merged = _plain(new)[1]
        elif strategy == "merge":
            merged = self._lists(old or [], new or [], key, (*path, field))
        else:
            merged = new or []
        kind = _element_type(old or [], new or [])
        if key:
            chosen, others = _split_maps(merged, order, key)
        else:
            chosen = [one for one in merged if _among(order, one)]
            others = [one for one in merged if not _among(order, one)]
        target[field] = _interleaved(chosen, others, order, old or [], key, kind)
        patch.pop(field, None)

    def _lists(self, old: list[Any], new: list[Any], key: str, path: tuple[str, ...]) -> list[Any]:
        if not old and not new:
            return old
        kind = _element_type(old, new)
        if kind is not dict:
            merged: list[Any] = []
            for one in (*old, *new):
                if not _among(merged, one):
                    merged.append(one)
            chosen = [one for one in merged if _among(new, one)]
            others = [one for one in merged if not _among(new, one)]
            return _interleaved(chosen, others, new, old, key, kind)
        if not key:
            raise PatchError("cannot merge lists without merge key for struct")
        old, new = _special(list(old), new, key)
        merged = self._keyed(list(old), new, key, path)
        chosen, others = _split_maps(merged, new, key)
        return _interleaved(chosen, others, new, merged[: len(old)], key, kind)

    def _keyed(
        self, merged: list[Any], new: list[Any], key: str, path: tuple[str, ...]
    ) -> list[Any]:
        for value in new:
            if key not in value:
                raise _no_key(value, key)
            at = _find(merged, key, value[key])
            if at is None:
                merged.append(value)
            else:
                merged[at] = self.objects(merged[at], value, path)
        return merged


def _retain(target: dict[str, Any], patch: dict[str, Any]) -> None:
    """Apply ``$retainKeys``: all other fields of the target go."""
    if _RETAIN not in patch:
        return
    keys = patch.pop(_RETAIN)
    if not isinstance(keys, list):
        raise PatchError(_BAD_RETAIN, 400)
    for name, value in patch.items():
        directive = name.startswith((_DELETE, _ORDER))
        if value is not None and not directive and name not in keys:
            raise PatchError(_BAD_RETAIN, 400)
    for name in [name for name in target if name not in keys]:
        del target[name]


def _field_of(name: str, directive: str, problem: str) -> str:
    head, slash, field = name.partition("/")
    if head != directive or not slash:
        raise PatchError(problem, 400)
    return field


def _special(old: list[Any], new: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Both lists after the directives among the patch's elements."""
    plain, replace = [], False
    for value in new:
        if _PATCH not in value:
            plain.append(value)
            continue
        directive = value[_PATCH]
        if directive == "delete":
            if key not in value:
                raise _no_key(value, key)
            while (at := _find(old, key, value[key])) is not None:
                del old[at]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchError(f"unknown patch type: {directive} in map: {shown(value)}")
    return (plain, []) if replace else (old, plain)


def _check_order(new: list[Any], order: list[Any], key: str) -> None:
    """The patch's elements must be among those of the order, and in that order."""
    if not new or not order:
        return
    if key:
        if not all(isinstance(one, dict) for one in new):
            raise PatchError("expected a map[string]interface {}")
        new = [one for one in new if one.get(_PATCH) != "delete"]
    at = place = 0
    while at < len(new) and place < len(order):
        if isinstance(new[at], dict) and _PATCH in new[at]:
            at += 1
            continue
        one, two = new[at], order[place]
        if key:
            one, two = (_value(each, key) for each in (one, two))
        at += _same(one, two)
        place += 1
    if at < len(new):
        raise PatchError(
            f"The order in patch list:\n{shown(new)}\n doesn't match {_ORDER} list:\n"
            f"{shown(order)}\n"
        )


def _split_maps(merged: list[Any], names: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    chosen: list[Any] = []
    others: list[Any] = []
    for value in merged:
        found = _find(names, key, _value(value, key))
        (others if found is None else chosen).append(value)
    return chosen, others


def _interleaved(
    chosen: list[Any],
    others: list[Any],
    order: list[Any],
    before: list[Any],
    key: str,
    kind: type,
) -> list[Any]:
    """What the patch names in its order, and the others where the old list has them."""
    if kind is dict:
        for value in (*chosen, *order, *others, *before):
            _value(value, key)

    def place(values: list[Any], value: Any) -> int:
        if kind is dict:
            found = _find(values, key, value[key])
            return -1 if found is None else found
        return next((at for at, one in enumerate(values) if _same(one, value)), -1)

    right = sorted(chosen, key=lambda value: place(order, value))
    left = sorted(others, key=lambda value: place(before, value))
    out: list[Any] = []
    at = 0
    for value in right:
        here = place(before, value)
        while at < len(left) and 0 <= place(before, left[at]) < here:
            out.append(left[at])
            at += 1
        out.append(value)
    return out + left[at:]


def _element_type(*lists: Iterable[Any]) -> type:
    """The one type of all elements."""
    kinds = {type(value) for values in lists for value in values}
    if not kinds:
        raise PatchError("no elements in any of the given slices")
    if list in kinds:
        raise PatchError(_NO_LISTS, 422)
    if len(kinds) > 1:
        raise PatchError(f"list element types are not identical: {shown(list(lists))}")
    return kinds.pop()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _plain(value: Any) -> tuple[bool, Any]:
    """Whether a part of a patch stays as it stands alone, and that without what does not."""
    if isinstance(value, dict):
        if _PATCH in value:
            return False, None
        inner = {name: _plain(one) for name, one in value.items()}
        return True, {name: one for name, (kept, one) in inner.items() if kept}
    if isinstance(value, list):
        return True, [one for kept, one in map(_plain, value) if kept]
    return True, value


def _find(values: list[Any], key: str, wanted: Any) -> int | None:
    for at, value in enumerate(values):
        if not isinstance(value, dict):
            raise PatchError(f"value for key {at} is not a map")
        if key in value and _same(value[key], wanted):
            return at
    return None


def _value(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise PatchError(f"expected a map[string]interface {{}}, but received a {_go_type(value)}")
    if key not in value:
        raise _no_key(value, key)
    return value[key]


def _no_key(value: dict[str, Any], key: str) -> PatchError:
    return PatchError(f"map: {shown(value)} does not contain declared merge key: {key}")


def _same(one: Any, two: Any) -> bool:
    return type(one) is type(two) and bool(one == two)


def _among(values: Iterable[Any], one: Any) -> bool:
    return any(_same(value, one) for value in values)


def _go_type(value: Any) -> str:
    names = {str: "string", bool: "bool", int: "int64", float: "float64"}
    if isinstance(value, dict):
        return "map[string]interface {}"
    return names.get(type(value), "[]interface {}")


def shown(value: Any) -> str:
    """A value as Go's ``%v`` shows it."""
    if isinstance(value, dict):
        inner = " ".join(f"{name}:{shown(one)}" for name, one in sorted(value.items()))
        return f"map[{inner}]"
    if isinstance(value, list):
        return f"[{' '.join(map(shown, value))}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
