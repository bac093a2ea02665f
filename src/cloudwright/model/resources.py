"""What a served kind is called: group, version, plural, scope … (discovery's ``APIResource``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """The names of one served kind."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    """Of ``status scale log exec attach portforward eviction binding``."""

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path prefix: ``/api/v1`` or ``/apis/group/version``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts.extend(part for part in (name, subresource) if part)
        return "/".join(parts)


def _core(kind: str, plural: str, *short: str, namespaced: bool = True, subs: str = "") -> Resource:
    return Resource(
        "",
        "v1",
        kind,
        plural,
        kind.lower(),
        namespaced,
        short,
        ("all",) if kind in ("Pod", "Service") else (),
        frozenset(subs.split()),
    )


NAMESPACE = _core("Namespace", "namespaces", "ns", namespaced=False, subs="status")
NODE = _core("Node", "nodes", "no", namespaced=False, subs="status")
POD = _core("Pod", "pods", "po", subs="status log exec attach portforward binding eviction")
SERVICE = _core("Service", "services", "svc", subs="status")
ENDPOINTS = _core("Endpoints", "endpoints", "ep")
CONFIG_MAP = _core("ConfigMap", "configmaps", "cm")
SECRET = _core("Secret", "secrets")
SERVICE_ACCOUNT = _core("ServiceAccount", "serviceaccounts", "sa")
EVENT = _core("Event", "events", "ev")
EVENT_V1 = Resource("events.k8s.io", "v1", "Event", "events", "event", True, ("ev",))
ENDPOINT_SLICE = Resource(
    "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice"
)
LEASE = Resource("coordination.k8s.io", "v1", "Lease", "leases", "lease")
DEPLOYMENT = Resource(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    "deployment",
    True,
    ("deploy",),
    ("all",),
    frozenset({"status", "scale"}),
)
REPLICA_SET = Resource(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    "replicaset",
    True,
    ("rs",),
    ("all",),
    frozenset({"status", "scale"}),
)
CUSTOM_RESOURCE_DEFINITION = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    frozenset({"status"}),
)
MICRO_SERVICE = Resource(
    "platform.example.com",
    "v1",
    "MicroService",
    "microservices",
    "microservice",
    True,
    ("ms",),
    ("all",),
    frozenset({"status", "scale"}),
)
ROUTE = Resource(
    "cloudwright.dev",
    "v1alpha1",
    "Route",
    "routes",
    "route",
    True,
    ("rt",),
    ("all",),
    frozenset({"status"}),
)

BUILT_IN: tuple[Resource, ...] = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    ENDPOINTS,
    CONFIG_MAP,
    SECRET,
    SERVICE_ACCOUNT,
    EVENT,
    EVENT_V1,
    ENDPOINT_SLICE,
    LEASE,
    DEPLOYMENT,
    REPLICA_SET,
    CUSTOM_RESOURCE_DEFINITION,
    MICRO_SERVICE,
    ROUTE,
)
"""Every kind that is served without a CustomResourceDefinition. Both Event groups share one
storage."""
