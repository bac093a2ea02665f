"""PersistentVolumes and the claims on them: what both can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import fields, names, quantities
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.spec import mapping, members, wrong
from cloudwright.model.objects import Object

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
MODES = ("Block", "Filesystem")


def claim_defaults(spec: Object) -> None:
    """Defaults of a claim's spec, also of one in a template."""
    spec.setdefault("volumeMode", "Filesystem")


def access_mode_errors(spec: Mapping[str, Any], path: str, message: str = "") -> list[FieldError]:
    """There is at least one access mode (else: ``message``); a single pod's is had alone."""
    modes, where = members(spec, "accessModes"), f"{path}.accessModes"
    if not modes:
        return [fields.required(where, message)]
    found = [fields.not_supported(where, m, ACCESS_MODES) for m in modes if m not in ACCESS_MODES]
    others = {mode for mode in modes if mode in ACCESS_MODES} - {"ReadWriteOncePod"}
    if "ReadWriteOncePod" in modes and others:
        message = "may not use ReadWriteOncePod with other access modes"
        found.append(fields.forbidden(where, message))
    return found


def positive_errors(value: Any, path: str) -> list[FieldError]:
    """An amount of storage is more than nothing."""
    problems = quantities.problems(value)
    if problems:
        return wrong(path, value, problems)
    if quantities.parse(value) <= 0:
        return [fields.invalid(path, value, "must be greater than zero")]
    return []


def class_errors(name: Any, path: str) -> list[FieldError]:
    """The name of a StorageClass or VolumeAttributesClass."""
    return wrong(path, name, names.dns_subdomain_problems(str(name))) if name else []


def claim_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """What is wrong with the spec of a claim."""
    found = access_mode_errors(spec, path, "at least 1 access mode is required")
    found += labels.selector_errors(spec.get("selector"), f"{path}.selector")
    requests = mapping(mapping(spec, "resources"), "requests")
    if "storage" not in requests:
        found.append(fields.required(f"{path}.resources[storage]"))
    else:
        found += positive_errors(requests["storage"], f"{path}.resources[storage]")
    found += class_errors(spec.get("storageClassName"), f"{path}.storageClassName")
    if spec.get("volumeMode") not in (None, *MODES):
        found.append(fields.not_supported(f"{path}.volumeMode", spec["volumeMode"], MODES))
    for key in ("dataSource", "dataSourceRef"):
        if (source := spec.get(key)) is not None:
            found += _source_errors(source, f"{path}.{key}")
    attributes = spec.get("volumeAttributesClassName")
    return found + class_errors(attributes, f"{path}.volumeAttributesClassName")


def _source_errors(source: Mapping[str, Any], path: str) -> list[FieldError]:
    found = [fields.required(f"{path}.{key}") for key in ("name", "kind") if not source.get(key)]
    group = str(source.get("apiGroup") or "")
    if not group and source.get("kind") != "PersistentVolumeClaim":
        message = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        found.append(fields.invalid(path, source.get("kind"), message))
    return found + (wrong(path, group, names.dns_subdomain_problems(group)) if group else [])
