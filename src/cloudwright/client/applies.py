"""Client-side apply: what a person wrote last time, what they write now, what is there → one
merge patch.

The algorithm of ``kubectl apply`` for JSON merge patches: a field that was applied before and is
not any more is
removed; a field that is written and differs is set; fields that others set stay (RFC 7396 for
the result).
"""

from __future__ import annotations

import json
from typing import Any

from cloudwright.model.objects import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def three_way_patch(original: Object, modified: Object, current: Object) -> Object:
    """The merge patch that brings ``current`` to ``modified``, given what was applied as
    ``original``.

    Lists are replaced whole. An empty result means that nothing changes.
    """
    patch = _changes(modified, current)
    _removals(patch, original, modified, current)
    return patch


def _changes(modified: Object, current: Object) -> Object:
    patch: Object = {}
    for key, value in modified.items():
        there = current.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            if inner := _changes(value, there):
                patch[key] = inner
        elif key not in current or value != there:
            patch[key] = value
    return patch


def _removals(patch: Object, original: Object, modified: Object, current: Object) -> None:
    for key, value in original.items():
        if key not in current:
            continue
        if key not in modified or modified[key] is None:
            patch[key] = None
        elif all(isinstance(side[key], dict) for side in (original, modified, current)):
            inner: Object = patch.get(key) if isinstance(patch.get(key), dict) else {}  # type: ignore[assignment]
            _removals(inner, value, modified[key], current[key])
            if inner:
                patch[key] = inner


def annotated(obj: Object) -> Object:
    """A copy of ``obj`` that remembers itself as the last applied configuration."""
    bare = json.loads(json.dumps(obj))
    annotations = bare.get("metadata", {}).get("annotations") or {}
    annotations.pop(LAST_APPLIED, None)
    text = json.dumps(bare, separators=(",", ":"), sort_keys=True) + "\n"
    made: dict[str, Any] = json.loads(json.dumps(bare))
    made.setdefault("metadata", {})["annotations"] = {**annotations, LAST_APPLIED: text}
    return made


def last_applied(obj: Object) -> Object:
    """What ``obj`` was last applied as; empty when it never was (or not readably)."""
    text = (obj.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return dict(value) if isinstance(value, dict) else {}
