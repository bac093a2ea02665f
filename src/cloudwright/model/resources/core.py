"""The kinds of the core group (``v1``) and both groups' Events."""

from __future__ import annotations

from cloudwright.model.resources.resource import VERBS, resource

COMPONENT_STATUS = resource(
    "v1",
    "ComponentStatus",
    "componentstatuses",
    short="cs",
    namespaced=False,
    verbs=("get", "list"),
)
CONFIG_MAP = resource("v1", "ConfigMap", "configmaps", short="cm")
ENDPOINTS = resource("v1", "Endpoints", "endpoints", short="ep")
EVENT = resource("v1", "Event", "events", short="ev")
EVENT_V1 = resource("events.k8s.io/v1", "Event", "events", short="ev")
LIMIT_RANGE = resource("v1", "LimitRange", "limitranges", short="limits")
NAMESPACE = resource(
    "v1",
    "Namespace",
    "namespaces",
    short="ns",
    subs="status",
    namespaced=False,
    verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
)
NODE = resource("v1", "Node", "nodes", short="no", subs="status proxy", namespaced=False)
PERSISTENT_VOLUME = resource(
    "v1", "PersistentVolume", "persistentvolumes", short="pv", subs="status", namespaced=False
)
PERSISTENT_VOLUME_CLAIM = resource(
    "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short="pvc", subs="status"
)
POD = resource(
    "v1",
    "Pod",
    "pods",
    short="po",
    categories="all",
    subs="status log exec attach portforward proxy binding eviction ephemeralcontainers resize",
)
POD_TEMPLATE = resource("v1", "PodTemplate", "podtemplates")
REPLICATION_CONTROLLER = resource(
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    short="rc",
    categories="all",
    subs="status scale",
)
RESOURCE_QUOTA = resource("v1", "ResourceQuota", "resourcequotas", short="quota", subs="status")
SECRET = resource("v1", "Secret", "secrets")
SERVICE_ACCOUNT = resource("v1", "ServiceAccount", "serviceaccounts", short="sa")
SERVICE = resource("v1", "Service", "services", short="svc", categories="all", subs="status proxy")
BINDING = resource("v1", "Binding", "bindings", verbs=("create",))
"""Only written: it binds a pod. Not among the kinds that are stored."""

CORE = (
    *(COMPONENT_STATUS, CONFIG_MAP, ENDPOINTS, EVENT, LIMIT_RANGE, NAMESPACE, NODE),
    *(PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME, POD, POD_TEMPLATE, REPLICATION_CONTROLLER),
    *(RESOURCE_QUOTA, SECRET, SERVICE_ACCOUNT, SERVICE),
)
