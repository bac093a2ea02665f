"""Which objects belong to an owner, by its selector and by their controller references.

Source: kubernetes ``pkg/controller/controller_ref_manager.go`` (``BaseControllerRefManager``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    finalizers_of,
    labels_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from cloudwright.model.selectors import from_label_selector
from cloudwright.operator.engines.templates import copy


@dataclass(frozen=True, slots=True)
class Claim:
    """How an owner and objects of the kind below it belong together."""

    mine: tuple[Object, ...]
    adopt: tuple[Object, ...]
    release: tuple[Object, ...]


def claim(
    owner: Object, candidates: Sequence[Object], selector: Mapping[str, Any] | None = None
) -> Claim:
    """Sort the objects of the owner's namespace: its own, orphans it selects, own ones it no
    longer selects. A deleted owner adopts nothing; a deleted object is not adopted.

    ``selector`` is the owner's ``LabelSelector``; by default its ``spec.selector``.

    Raises:
        ValueError: the owner's selector is broken.
    """
    chosen = from_label_selector(selector or owner["spec"].get("selector"))
    mine, adopt, release = [], [], []
    for obj in candidates:
        if namespace_of(obj) != namespace_of(owner):
            continue
        selected = chosen.matches(labels_of(obj))
        reference = controller_of(obj)
        if reference is not None and reference.get("uid") == uid_of(owner):
            if selected:
                mine.append(obj)
            elif not deleting(owner):
                release.append(obj)
        elif reference is None and selected and not deleting(owner) and not deleting(obj):
            adopt.append(obj)
    return Claim(tuple(mine), tuple(adopt), tuple(release))


def adopted(owner: Object, obj: Object, finalizer: str = "") -> Object:
    """``obj`` with ``owner`` as its controller, and with that finalizer if one is given."""
    changed = copy(obj)
    if finalizer and finalizer not in finalizers_of(obj):
        changed["metadata"]["finalizers"] = [*finalizers_of(obj), finalizer]
    references = list(changed["metadata"].get("ownerReferences") or [])
    changed["metadata"]["ownerReferences"] = [*references, owner_reference(owner)]
    return changed


def released(owner: Object, obj: Object) -> Object:
    """``obj`` without any reference to ``owner``."""
    changed = copy(obj)
    references = changed["metadata"].get("ownerReferences") or []
    changed["metadata"]["ownerReferences"] = [r for r in references if r["uid"] != uid_of(owner)]
    return changed


def pod_from(template: Mapping[str, Any], owner: Object, **metadata: Any) -> Object:
    """A pod by ``template`` that ``owner`` controls; ``metadata`` adds ``name`` and such.

    ``labels`` and ``annotations`` given there are added to those of the template.
    """
    body = copy(template)
    found = body.get("metadata") or {}
    merged: Object = {}
    for key in ("labels", "annotations"):
        values = {**(found.get(key) or {}), **metadata.pop(key, {})}
        if values:
            merged[key] = values
    finalizers = [*(found.get("finalizers") or ()), *metadata.pop("finalizers", ())]
    if finalizers:
        merged["finalizers"] = finalizers
    merged.update(metadata)
    merged["namespace"] = namespace_of(owner)
    merged["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": merged, "spec": body.get("spec") or {}}
