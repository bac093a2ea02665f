"""JSON patch (RFC 6902) and merge patch (RFC 7386), as kube-apiserver applies them. Pure.

Where the RFCs are strict and its library is not, the library wins: ``replace`` of a member that is
not there adds it, negative indexes count from the end, ``test`` of what is not there equals null.
"""

from __future__ import annotations

from typing import Any

import orjson

OPERATIONS_MAX = 10_000
COPIED_BYTES_MAX = 3 * 1024 * 1024
_MISSING = object()


class JsonPatchError(ValueError):
    """An operation cannot be applied, a ``test`` failed, or it is no operation."""


def json_patch(document: Any, operations: list[Any]) -> Any:
    """``document`` (changed) with the operations applied in order.

    Raises:
        JsonPatchError: one does not apply; the document is then half changed.
    """
    root = _Root(document)
    for operation in operations:
        root.apply(operation)
    return root.document


class _Root:
    """The document under change."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied = 0

    def apply(self, operation: Any) -> None:
        kind = operation.get("op") if isinstance(operation, dict) else None
        if kind == "test":
            self._test(operation)
        elif kind == "replace":
            self._replace(operation)
        elif kind == "add":
            self._add(_text(operation, "path"), operation.get("value"))
        elif kind == "remove":
            self._take(_text(operation, "path"))
        elif kind == "move":
            value = self._take(_text(operation, "from"))
            self._add(_text(operation, "path"), value)
        elif kind == "copy":
            self._copy(operation)
        else:
            raise JsonPatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")

    def _holder(self, path: str) -> tuple[Any, str]:
        """The container that a path ends in, and the last step."""
        first, *steps = path.split("/")
        del first
        if not steps:
            raise JsonPatchError(f'doc is missing path: "{path}": missing value')
        holder = self.document
        for step in steps[:-1]:
            holder = _get(holder, _decoded(step), path)
            if not isinstance(holder, dict | list):
                raise JsonPatchError(f'doc is missing path: "{path}": missing value')
        return holder, _decoded(steps[-1])

    def _add(self, path: str, value: Any) -> None:
        holder, key = self._holder(path)
        if isinstance(holder, dict):
            holder[key] = value
        elif key == "-":
            holder.append(value)
        else:
            holder.insert(_index(key, len(holder) + 1), value)

    def _take(self, path: str) -> Any:
        holder, key = self._holder(path)
        if isinstance(holder, list):
            return holder.pop(_index(key, len(holder)))
        if key not in holder:
            raise JsonPatchError(f"Unable to remove nonexistent key: {key}: missing value")
        return holder.pop(key)

    def _replace(self, operation: dict[str, Any]) -> None:
        path, value = _text(operation, "path"), operation.get("value")
        if path == "":
            if not isinstance(value, dict | list):
                raise JsonPatchError("replace operation value must be object or array")
            self.document = value
            return
        holder, key = self._holder(path)
        if isinstance(holder, dict):
            holder[key] = value
        else:
            holder[_index(key, len(holder))] = value

    def _test(self, operation: dict[str, Any]) -> None:
        path, wanted = _text(operation, "path"), operation.get("value")
        found = self.document
        if path != "":
            holder, key = self._holder(path)
            found = _get(holder, key, path)
        if not _same(None if found is _MISSING else found, wanted):
            raise JsonPatchError(f"testing value {path} failed: test failed")

    def _copy(self, operation: dict[str, Any]) -> None:
        holder, key = self._holder(_text(operation, "from"))
        value = _get(holder, key, key)
        raw = orjson.dumps(None if value is _MISSING else value)
        # Copies of copies double: a few hundred bytes could ask for all the memory.
        self._copied += len(raw)
        if self._copied > COPIED_BYTES_MAX:
            raise JsonPatchError(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self._copied}, exceeding the limit {COPIED_BYTES_MAX}"
            )
        self._add(_text(operation, "path"), orjson.loads(raw))


def _text(operation: dict[str, Any], name: str) -> str:
    value = operation.get(name)
    if not isinstance(value, str):
        raise JsonPatchError(f"operation missing {name} field: missing value")
    return value


def _decoded(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~") if "~" in step else step


def _get(holder: Any, key: str, path: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(key, _MISSING)
    if isinstance(holder, list):
        return holder[_index(key, len(holder))]
    raise JsonPatchError(f'doc is missing path: "{path}": missing value')


def _index(key: str, size: int) -> int:
    """A list's index from text; negative ones count from the end."""
    digits = key[1:] if key[:1] in ("-", "+") else key
    if not (digits.isascii() and digits.isdigit()):
        raise JsonPatchError(f"value was not a proper array index: '{key}'")
    index = int(key)
    if not -size <= index < size:
        raise JsonPatchError(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index


def _same(one: Any, two: Any) -> bool:
    """Equality in JSON: true is no number, and 1 is not 1.0."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return type(one) is type(two) and bool(one == two)


def merge_patch(target: Any, patch: dict[str, Any]) -> Any:
    """Null removes, objects merge, all else replaces. Changes and returns ``target``."""
    if not isinstance(target, dict):
        return _pruned(patch)
    for name, value in patch.items():
        found = target.get(name)
        if value is None:
            target.pop(name, None)
        elif isinstance(found, dict):
            target[name] = merge_patch(found, value) if isinstance(value, dict) else value
        else:
            target[name] = _pruned(value)
    return target


def _pruned(value: Any) -> Any:
    """A part of a patch as it stands alone: without null members."""
    if isinstance(value, dict):
        return {name: _pruned(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value
