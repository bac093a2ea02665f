"""The built-in kinds as they are served, before any CustomResourceDefinition."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloudwright.apiserver import events
from cloudwright.apiserver.customs import CustomKind
from cloudwright.apiserver.registry import Kind, ScalePaths, Served, storage_of
from cloudwright.model import resources, schemas
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

_INVOLVED = (
    *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
    *(f"involvedObject.{name}" for name in ("resourceVersion", "fieldPath")),
    *("reason", "reportingComponent", "reportingController", "source", "type"),
)
_FIELD_PATHS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "events"): _INVOLVED,
    ("events.k8s.io", "events"): _INVOLVED,
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("apps", "replicasets"): ("status.replicas",),
}
_OURS = frozenset({resources.MICRO_SERVICE.group, resources.ROUTE.group})


def served() -> list[Served]:
    """One entry for each of ``resources.BUILT_IN``."""
    return [_served(resource) for resource in resources.BUILT_IN]


def _served(resource: Resource) -> Served:
    is_event = resource.group == "events.k8s.io"
    stored_as = resources.EVENT if is_event else resource
    found = _kinds().get((resource.group, resource.plural))
    kind: Kind = CustomKind(resource) if found is None else _Rules(found)
    return Served(
        resource=resource,
        storage=storage_of(stored_as.group, stored_as.plural),
        storage_version=stored_as.api_version,
        kind=kind,
        schema=schemas.schema_for(resource),
        scale=ScalePaths() if "scale" in resource.subresources else None,
        view=events.VIEW if is_event else None,
        patch_keys=resource.group not in _OURS,
        field_paths=frozenset(_FIELD_PATHS.get((resource.group, resource.plural), ())),
    )


class _Rules:
    """A kind's rules, whether they give back the object or change the one they get."""

    def __init__(self, spec: Any) -> None:
        self._spec = spec

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """With defaults, without what a user may not set."""
        result: Object | None = self._spec.prepare_create(obj, now)
        return obj if result is None else result

    def prepare_update(self, new: Object, old: Object) -> Object:
        """With defaults, and with what must be kept of the old one."""
        result: Object | None = self._spec.prepare_update(new, old)
        return new if result is None else result

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """What is wrong with it."""
        return list(self._spec.validate(obj, old))


def _kinds() -> Mapping[tuple[str, str], Any]:
    """The rules of the built-in kinds, by group and plural; the model may not have them all."""
    name = "cloudwright.model.kinds"
    if importlib.util.find_spec(name) is None:
        return {}
    found: Mapping[tuple[str, str], Any] = importlib.import_module(name).BUILT_IN
    return found
