"""The built-in kinds as they are served, before any CustomResourceDefinition."""

from __future__ import annotations

from datetime import datetime

from cloudwright.apiserver import events
from cloudwright.apiserver.registry import ScalePaths, Served, View, storage_of
from cloudwright.model import kinds, resources, schemas
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

_INVOLVED = (
    *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
    *(f"involvedObject.{name}" for name in ("resourceVersion", "fieldPath")),
    *("reason", "reportingComponent", "source", "type"),
)
_FIELD_PATHS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.host",
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
    ("events.k8s.io", "events"): (
        *(f"regarding.{name.partition('.')[2]}" for name in _INVOLVED if "." in name),
        *("reason", "reportingController", "type"),
    ),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
    ("resource.k8s.io", "resourceslices"): ("spec.nodeName", "spec.driver"),
    ("batch", "jobs"): ("status.successful",),
}
_DEPRECATED = {
    ("", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "endpoints"): (
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    ),
}
"""What upstream tells whoever uses them."""
_OURS = frozenset({resources.MICRO_SERVICE.group, resources.ROUTE.group})


def _to_first(stored: Object) -> Object:
    from cloudwright.model.kinds import hpa_versions

    return hpa_versions.from_v2(stored)


def _from_first(shown: Object) -> Object:
    from cloudwright.model.kinds import hpa_versions

    return hpa_versions.to_v2(shown)


_VIEWS: dict[Resource, tuple[Resource, View]] = {
    resources.EVENT_V1: (resources.EVENT, events.VIEW),
    resources.HORIZONTAL_POD_AUTOSCALER_V1: (
        resources.HORIZONTAL_POD_AUTOSCALER,
        View(_to_first, _from_first),
    ),
}
"""Versions that are stored as another one, and how they are converted."""


def served() -> list[Served]:
    """One entry for each of ``resources.BUILT_IN``."""
    return [_served(resource) for resource in resources.BUILT_IN]


def _served(resource: Resource) -> Served:
    stored_as, view = _VIEWS.get(resource, (resource, None))
    return Served(
        resource=resource,
        storage=storage_of(stored_as.group, stored_as.plural),
        storage_version=stored_as.api_version,
        kind=_Rules(resource),
        schema=schemas.schema_for(resource),
        scale=ScalePaths() if "scale" in resource.subresources else None,
        view=view,
        patch_keys=resource.group not in _OURS,
        field_paths=frozenset(_FIELD_PATHS.get((resource.group, resource.plural), ())),
        warning=_DEPRECATED.get((resource.group, resource.plural), ""),
    )


class _Rules:
    """A kind's rules, found when they are first needed."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._found: KindSpec | None = None

    @property
    def _spec(self) -> KindSpec:
        found = self._found
        if found is None:
            found = self._found = kinds.find(self._resource)
        return found

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """With defaults, without what a user may not set."""
        self._spec.prepare_create(obj, now)
        return obj

    def prepare_update(self, new: Object, old: Object) -> Object:
        """With defaults, and with what must be kept of the old one."""
        self._spec.prepare_update(new, old)
        return new

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """What is wrong with it."""
        return self._spec.validate(obj, old)


BINDINGS = _served(resources.BINDING)
"""``POST …/bindings``: nothing of this kind is stored."""
