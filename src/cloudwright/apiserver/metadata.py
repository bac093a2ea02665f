"""``metav1.ObjectMeta`` as the API server keeps it: what users set and what only we do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object

_KEPT = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)
_DROPPED = ("selfLink", "managedFields")
_KNOWN: dict[str, type] = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "generation": int,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "deletionGracePeriodSeconds": int,
    "labels": dict,
    "annotations": dict,
    "ownerReferences": list,
    "finalizers": list,
    "selfLink": str,
    "managedFields": list,
}
_OWNER = ("apiVersion", "kind", "name", "uid")
_ANNOTATIONS_MAX = 256 * 1024


def clean(obj: Object) -> Object:
    """The metadata of ``obj``, without empty and unserved fields; replaces it in ``obj``."""
    metadata = obj.get("metadata")
    kept: Object = {}
    for name, value in (metadata if isinstance(metadata, dict) else {}).items():
        if name not in _DROPPED and value is not None and value not in ({}, []):
            kept[name] = value
    obj["metadata"] = kept
    return kept


def shape_errors(obj: Mapping[str, Any]) -> list[FieldError]:
    """Fields of the metadata that have the wrong JSON type (must be checked before all else)."""
    metadata = obj.get("metadata", {})
    if not isinstance(metadata, dict):
        return [fields.invalid("metadata", metadata, "must be an object")]
    found = [
        fields.invalid(f"metadata.{name}", metadata[name], f"must be a {kind.__name__}")
        for name, kind in _KNOWN.items()
        if metadata.get(name) is not None and not isinstance(metadata[name], kind)
    ]
    if not found:
        for what in ("labels", "annotations"):
            found += [
                fields.invalid(f"metadata.{what}[{name}]", value, "must be a string")
                for name, value in (metadata.get(what) or {}).items()
                if not isinstance(value, str)
            ]
        found += [
            fields.invalid(f"metadata.finalizers[{index}]", value, "must be a string")
            for index, value in enumerate(metadata.get("finalizers") or [])
            if not isinstance(value, str)
        ]
        found += [
            fields.invalid(f"metadata.ownerReferences[{index}]", value, "must be an object")
            for index, value in enumerate(metadata.get("ownerReferences") or [])
            if not isinstance(value, dict)
        ]
    return found


def unknown(obj: Mapping[str, Any]) -> list[str]:
    """Names in the metadata that ObjectMeta does not have."""
    return [f"metadata.{name}" for name in obj.get("metadata", {}) if name not in _KNOWN]


def begin(obj: Object, *, namespace: str, now: datetime, uid: str, random: bytes) -> None:
    """Fill in the metadata of a new object: name, uid, creation time, generation 1."""
    metadata = clean(obj)
    for name in (*_KEPT, "resourceVersion"):
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = names.generate_name(metadata["generateName"], random)
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = rfc3339(now)
    if "spec" in obj:
        metadata["generation"] = 1


def carry_over(new: Object, old: Object) -> None:
    """Give ``new`` what a user cannot change in ``old``'s metadata."""
    metadata, before = clean(new), old["metadata"]
    for name in (*_KEPT, "name", "namespace", "resourceVersion", "generateName"):
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)


def bump_generation(new: Object, old: Object) -> None:
    """Add one to the generation when anything beside metadata and status differs."""
    if "spec" not in new and "spec" not in old:
        return
    if _desired(new) != _desired(old):
        new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1


def mark_deleted(obj: Object, deletion: datetime, grace_seconds: int) -> None:
    """Note that ``obj`` is to go at ``deletion``."""
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = rfc3339(deletion)
    metadata["deletionGracePeriodSeconds"] = grace_seconds
    if "generation" in metadata:
        metadata["generation"] += 1


def gone(obj: Mapping[str, Any]) -> bool:
    """Whether nothing holds a deleted object any more."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


def validate(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """What is wrong with the metadata; names themselves are each kind's business."""
    metadata = obj["metadata"]
    found: list[FieldError] = []
    if not metadata.get("name"):
        found.append(fields.required("metadata.name", "name or generateName is required"))
    elif old is None and (set(metadata["name"]) & set("/%") or metadata["name"] in (".", "..")):
        message = 'may not be "." or "..", nor contain "/" or "%"'
        found.append(fields.invalid("metadata.name", metadata["name"], message))
    for key, value in (metadata.get("labels") or {}).items():
        for problem in names.qualified_name_problems(key):
            found.append(fields.invalid("metadata.labels", key, problem))
        for problem in names.label_value_problems(value):
            found.append(fields.invalid("metadata.labels", value, problem))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        for problem in names.qualified_name_problems(key.lower()):
            found.append(fields.invalid("metadata.annotations", key, problem))
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_MAX:
        found.append(fields.too_long("metadata.annotations", _ANNOTATIONS_MAX))
    found += _owner_errors(metadata.get("ownerReferences") or [])
    found += _finalizer_errors(metadata, old["metadata"] if old else None)
    return found


def _desired(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _owner_errors(references: list[dict[str, Any]]) -> list[FieldError]:
    found = []
    for index, reference in enumerate(references):
        for name in _OWNER:
            if not reference.get(name):
                path = f"metadata.ownerReferences[{index}].{name}"
                found.append(fields.required(path, "must not be empty"))
    controllers = [reference for reference in references if reference.get("controller")]
    if len(controllers) > 1:
        found.append(
            fields.invalid(
                "metadata.ownerReferences",
                [reference.get("name") for reference in controllers],
                "Only one reference can have Controller set to true",
            )
        )
    return found


def _finalizer_errors(
    metadata: Mapping[str, Any], before: Mapping[str, Any] | None
) -> list[FieldError]:
    found = []
    finalizers = metadata.get("finalizers") or []
    for index, name in enumerate(finalizers):
        for problem in names.qualified_name_problems(name):
            found.append(fields.invalid(f"metadata.finalizers[{index}]", name, problem))
    if before is not None and before.get("deletionTimestamp"):
        added = [name for name in finalizers if name not in (before.get("finalizers") or [])]
        if added:
            message = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {added}"
            )
            found.append(fields.forbidden("metadata.finalizers", message))
    return found
