"""What ``ephemeralcontainers`` and ``resize`` of a pod may change, in upstream's words. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloudwright.model import fields
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import pod
from cloudwright.model.kinds.spec import mapping, members
from cloudwright.model.objects import Object
from cloudwright.model.pods import quality_of_service

_META = ("labels", "annotations", "finalizers", "ownerReferences")
_LISTS = ("containers", "initContainers")
_RESIZABLE = ("cpu", "memory")


class EphemeralContainers:
    """A change that adds ephemeral containers and does nothing else."""

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """As it is: nothing is created by a subresource."""
        del now
        return obj

    def prepare_update(self, new: Object, old: Object) -> Object:
        """All but the ephemeral containers is as it was."""
        added = members(mapping(new, "spec"), "ephemeralContainers")
        spec = {**mapping(old, "spec"), "ephemeralContainers": added}
        if not added:
            del spec["ephemeralContainers"]
        kept = _kept(new, old, spec)
        pod.SPEC.prepare_update(kept, old)
        return kept

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """The new ones are complete; those that were there stay as they are."""
        found = pod.spec_errors(mapping(obj, "spec"), "spec")
        path = "spec.ephemeralContainers"
        given = {c.get("name"): c for c in members(mapping(obj, "spec"), "ephemeralContainers")}
        for before in members(mapping(old or {}, "spec"), "ephemeralContainers"):
            name = before.get("name")
            what = f'existing ephemeral containers "{name}" may not be '
            if name not in given:
                found.append(fields.forbidden(path, f"{what}removed\n"))
            elif given[name] != before:
                found.append(fields.forbidden(path, f"{what}changed\n"))
        return found


class Resize:
    """A change of containers' cpu and memory, and of how they take it."""

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """As it is: nothing is created by a subresource."""
        del now
        return obj

    def prepare_update(self, new: Object, old: Object) -> Object:
        """All but resources and their policies is as it was; containers that were added, removed
        or renamed are left for validation to see.
        """
        given, before = mapping(new, "spec"), mapping(old, "spec")
        spec = {**before}
        for key in _LISTS:
            if [c.get("name") for c in members(given, key)] != _names(before, key):
                spec = given
                break
            if key in before:
                both = zip(members(before, key), members(given, key), strict=True)
                spec[key] = [_resized(was, wants) for was, wants in both]
        kept = _kept(new, old, spec)
        pod.SPEC.prepare_update(kept, old)
        return kept

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """The pod stays in its class, on a node that can do it, and gives nothing up."""
        assert old is not None, "only what exists is resized"
        spec, before = mapping(obj, "spec"), mapping(old, "spec")
        found = pod.spec_errors(spec, "spec")
        was = mapping(old, "status").get("qosClass") or quality_of_service(old)
        if quality_of_service(obj) != was:
            message = "Pod QOS Class may not change as a result of resizing"
            found.append(fields.invalid("spec", was, message))
        if not _supported(old):
            message = "Pod running on node without support for resize"
            found.append(fields.forbidden("spec", message))
        order = _order(spec, before)
        if order:
            return found + order
        for key in reversed(_LISTS):
            for index, container in enumerate(members(spec, key)):
                where = f"spec.{key}[{index}]"
                found += _container(container, members(before, key)[index], where, key)
        return found


def _kept(new: Object, old: Object, spec: Object) -> Object:
    metadata = {**new["metadata"]}
    for key in _META:
        metadata.pop(key, None)
        if key in old["metadata"]:
            metadata[key] = old["metadata"][key]
    kept = {**new, "metadata": metadata, "spec": copy.deepcopy(spec)}
    kept.pop("status", None)
    if "status" in old:
        kept["status"] = old["status"]
    return kept


def _names(spec: Mapping[str, Any], key: str) -> list[Any]:
    return [container.get("name") for container in members(spec, key)]


def _resized(was: Object, wants: Object) -> Object:
    merged = {**was}
    for key in ("resources", "resizePolicy"):
        merged.pop(key, None)
        if key in wants:
            merged[key] = wants[key]
    return merged


def _supported(old: Object) -> bool:
    """The node tells the resources of what runs; where nothing runs one cannot know."""
    for status in members(mapping(old, "status"), "containerStatuses"):
        if "running" in mapping(status, "state"):
            return "resources" in status
    return True


def _order(spec: Object, before: Object) -> list[FieldError]:
    found = []
    for key in _LISTS:
        path = f"spec.{key}"
        new, old = _names(spec, key), _names(before, key)
        if len(new) != len(old):
            found.append(fields.forbidden(path, f"{key} may not be added or removed on resize"))
            continue
        message = f"{key} may not be renamed or reordered on resize"
        for at, name in enumerate(new):
            if name != old[at]:
                found.append(fields.forbidden(f"{path}[{at}].name", message))
    return found


def _container(new: Object, old: Object, path: str, key: str) -> list[FieldError]:
    found: list[FieldError] = []
    wants, had = mapping(new, "resources"), mapping(old, "resources")
    for half in ("requests", "limits"):
        if set(mapping(had, half)) - set(mapping(wants, half)):
            message = f"resource {half} cannot be removed"
            found.append(fields.forbidden(f"{path}.resources.{half}", message))
    init = key == "initContainers"
    if _others(wants) != _others(had):
        what = "resources for init or sidecar containers" if init else "resources"
        where = path if init else "spec"
        found.append(fields.forbidden(where, f"only cpu and memory {what} are mutable"))
    if init and wants != had and new.get("restartPolicy") != "Always":
        message = (
            "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
        )
        for policy in members(new, "resizePolicy"):
            if policy.get("restartPolicy") == "RestartContainer":
                found.append(fields.forbidden(path, message))
    return found


def _others(resources: Object) -> dict[str, Any]:
    rest = {key: value for key, value in resources.items() if key not in ("requests", "limits")}
    for half in ("requests", "limits"):
        amounts = mapping(resources, half).items()
        rest[half] = {name: value for name, value in amounts if name not in _RESIZABLE}
    return rest


EPHEMERAL_CONTAINERS, RESIZE = EphemeralContainers(), Resize()
