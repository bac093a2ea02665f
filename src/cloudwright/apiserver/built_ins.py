"""The built-in kinds as they are served, before any CustomResourceDefinition."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver import events
from cloudwright.apiserver.customs import CustomKind
from cloudwright.apiserver.registry import Kind, ScalePaths, Served, storage_of
from cloudwright.model import resources, schemas
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
    kind: Kind = CustomKind(resource) if found is None else found
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


def _kinds() -> Any:
    import importlib

    try:
        return importlib.import_module("cloudwright.model.kinds").BUILT_IN
    except ImportError:
        return {}
