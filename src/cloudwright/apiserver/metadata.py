"""``metav1.ObjectMeta`` as the API server keeps it: what users set and what only we do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model import fields, names
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object

_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_CARRIED = ("name", "namespace", "creationTimestamp", "generation", "resourceVersion")
_IMMUTABLE = ("uid", "deletionTimestamp", "deletionGracePeriodSeconds")
_DROPPED = "selfLink"
_CONTAINERS = (dict, list)
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
_OWNER = (
    ("apiVersion", "version must not be empty"),
    ("kind", "must not be empty"),
    ("name", "must not be empty"),
    ("uid", "must not be empty"),
)
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_STANDARD = ("kubernetes", _ORPHAN, _FOREGROUND)
_NOT_STANDARD = "name is neither a standard finalizer name nor is it fully qualified"
_ANNOTATIONS_MAX = 256 * 1024


def clean(obj: Object) -> Object:
    """The metadata of ``obj``, without empty and unserved fields; replaces it in ``obj``."""
    metadata = obj.get("metadata")
    kept: Object = {
        name: value
        for name, value in (metadata if isinstance(metadata, dict) else {}).items()
        if (value or not (value is None or isinstance(value, _CONTAINERS))) and name != _DROPPED
    }
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


def needs_name(obj: Mapping[str, Any]) -> bool:
    """Whether the server must make up a name."""
    metadata = obj["metadata"]
    return bool(metadata.get("generateName")) and not metadata.get("name")


def begin(
    obj: Object, *, namespace: str, now: datetime, uid: str, random: Callable[[int], bytes]
) -> bool:
    """Fill in the metadata of a new object: name, uid, creation time.

    Returns whether it named a ``resourceVersion``, which a new object may not.
    """
    metadata = clean(obj)
    pinned = metadata.pop("resourceVersion", None) not in (None, "", "0")
    for name in _SYSTEM:
        if name in metadata:
            del metadata[name]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = names.generate_name(metadata["generateName"], random(8))
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = rfc3339(now)
    return pinned


def carry_over(new: Object, old: Object) -> None:
    """Give ``new`` what a user cannot change in ``old``'s metadata.

    What he tried to change though it may not be (``_IMMUTABLE``) stays, for ``validate``.
    """
    metadata, before = clean(new), old["metadata"]
    for name in _CARRIED:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    for name in _IMMUTABLE:
        if name in before:
            metadata.setdefault(name, before[name])


def mark_deleted(obj: Object, deletion: datetime, grace_seconds: int) -> None:
    """Note that ``obj`` is to go at ``deletion``."""
    metadata = obj["metadata"]
    if "generation" in metadata and "deletionTimestamp" not in metadata:
        metadata["generation"] += 1
    metadata["deletionTimestamp"] = rfc3339(deletion)
    metadata["deletionGracePeriodSeconds"] = grace_seconds


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
    found += _map_errors(metadata)
    if "ownerReferences" in metadata:
        found += _owner_errors(metadata["ownerReferences"])
    before = old["metadata"] if old is not None else None
    if "finalizers" in metadata:
        found += _finalizer_errors(metadata, before)
    if before is not None:
        changed = [
            fields.invalid(f"metadata.{name}", metadata.get(name), "field is immutable")
            for name in _IMMUTABLE
            if metadata.get(name) != before.get(name)
        ]
        found += changed * 2  # upstream looks twice, and tells so in its causes
    return found


def path_errors(obj: Mapping[str, Any]) -> list[FieldError]:
    """Why a new object's name cannot be part of a path; asked when nothing else is wrong."""
    metadata = obj["metadata"]
    found = _segment_errors("name", metadata["name"])
    if metadata.get("generateName"):
        found += _segment_errors("generateName", metadata["generateName"])
    return found


def unique_owners(obj: Mapping[str, Any]) -> list[str]:
    """Drop repeated owner references; the uids of those dropped."""
    references = obj["metadata"].get("ownerReferences")
    if not isinstance(references, list) or len(references) < 2:
        return []
    kept: list[Any] = []
    dropped = []
    for reference in references:
        if reference in kept:
            dropped.append(str(reference.get("uid", "")))
        else:
            kept.append(reference)
    references[:] = kept
    return dropped


@lru_cache(maxsize=4096)
def _key_problems(key: str) -> tuple[str, ...]:
    """The same few keys come with almost every object."""
    return tuple(names.qualified_name_problems(key))


@lru_cache(maxsize=4096)
def _value_problems(value: str) -> tuple[str, ...]:
    return tuple(names.label_value_problems(value))


def _map_errors(metadata: Mapping[str, Any]) -> list[FieldError]:
    found: list[FieldError] = []
    labels = metadata.get("labels")
    for key, value in labels.items() if labels else ():
        for problem in _key_problems(key):
            found.append(fields.invalid("metadata.labels", key, problem))
        for problem in _value_problems(value):
            found.append(fields.invalid("metadata.labels", value, problem))
    annotations = metadata.get("annotations")
    if not annotations:
        return found
    for key in annotations:
        for problem in _key_problems(key.lower()):
            found.append(fields.invalid("metadata.annotations", key, problem))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_MAX:
        found.append(fields.too_long("metadata.annotations", _ANNOTATIONS_MAX))
    return found


def _segment_errors(field: str, name: str) -> list[FieldError]:
    """Why a name cannot be part of a path."""
    problems = [f"may not be '{name}'"] if name in (".", "..") and field == "name" else []
    if not ("/" in name or "%" in name or problems):
        return []
    problems += [f"may not contain '{letter}'" for letter in "/%" if letter in name]
    return [fields.invalid(f"metadata.{field}", name, problem) for problem in problems]


def _owner_errors(references: list[dict[str, Any]]) -> list[FieldError]:
    found: list[FieldError] = []
    first = ""
    path = "metadata.ownerReferences"
    for reference in references:
        for name, message in _OWNER:
            if not reference.get(name):
                found.append(fields.invalid(f"{path}.{name}", reference.get(name) or "", message))
        if (reference.get("apiVersion"), reference.get("kind")) == ("v1", "Event"):
            message = "/v1, Kind=Event is disallowed from being an owner"
            found.append(fields.invalid(path, _in_order(reference), message))
        if reference.get("controller"):
            current = f"{reference.get('kind')}/{reference.get('name')}"
            if first:
                message = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {first} and {current}'
                )
                shown = [_in_order(one) for one in references]
                found.append(fields.invalid(path, shown, message))
            else:
                first = current
    return found


def _in_order(reference: Mapping[str, Any]) -> Object:
    """With its members in the order of Go's type."""
    names = (*(name for name, _ in _OWNER), "controller", "blockOwnerDeletion")
    return {name: reference[name] for name in names if name in reference}


def _finalizer_errors(
    metadata: Mapping[str, Any], before: Mapping[str, Any] | None
) -> list[FieldError]:
    found = []
    finalizers = metadata.get("finalizers") or []
    for name in finalizers:
        for problem in _key_problems(name):
            found.append(fields.invalid("metadata.finalizers", name, problem))
    found += [
        fields.invalid(f"metadata.finalizers[{index}]", name, _NOT_STANDARD)
        for index, name in enumerate(finalizers)
        if "/" not in name and name not in _STANDARD
    ]
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        message = f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        found.append(fields.invalid("metadata.finalizers", finalizers, message))
    if before is not None and before.get("deletionTimestamp"):
        added = sorted(set(finalizers) - set(before.get("finalizers") or []))
        if added:
            shown = ", ".join(f'"{name}"' for name in added)
            message = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{shown}}}"
            )
            found += [fields.forbidden("metadata.finalizers", message)] * 2  # told twice, too
    return found
