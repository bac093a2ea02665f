"""The roles and bindings that every cluster has: kube-apiserver's own, and ours.

``bootstrap.json.gz`` (written by ``scripts/generate_roles.py``) has upstream's. Ours give
Cloudwright's parts what they need and nothing else, let ``admin``, ``edit`` and ``view`` reach
MicroServices and Routes, and let the group ``cloudwright:viewers`` read all but secrets.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from cloudwright.apiserver.authz.rules import PolicyRule, rules_of
from cloudwright.model.objects import Object

API_VERSION = "rbac.authorization.k8s.io/v1"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
VIEWERS = "cloudwright:viewers"
OPERATOR = "system:cloudwright:operator"
MESH = "system:cloudwright:mesh"
NETWORK = "system:cloudwright:network"
STORAGE = "system:cloudwright:node-storage"
SCHEDULER = "system:kube-scheduler"
READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_OURS = {
    "platform.example.com": ("microservices", "microservices/scale"),
    "cloudwright.dev": ("routes",),
}
_CONTROLLERS = (
    *("attachdetach-controller", "certificate-controller", "cronjob-controller"),
    *("daemon-set-controller", "deployment-controller", "disruption-controller"),
    *("endpoint-controller", "endpointslice-controller", "endpointslicemirroring-controller"),
    *("ephemeral-volume-controller", "expand-controller", "generic-garbage-collector"),
    *("horizontal-pod-autoscaler", "job-controller", "namespace-controller", "node-controller"),
    *("persistent-volume-binder", "pod-garbage-collector", "pv-protection-controller"),
    *("pvc-protection-controller", "replicaset-controller", "replication-controller"),
    *("resource-claim-controller", "resourcequota-controller", "root-ca-cert-publisher"),
    *("service-account-controller", "service-controller", "statefulset-controller"),
    *("ttl-after-finished-controller", "ttl-controller"),
)
"""The controllers that run inside our operator, by the end of their roles' names."""


@lru_cache(maxsize=1)
def node_rules() -> tuple[PolicyRule, ...]:
    """The rules of ``system:node``."""
    found = next(obj for obj in upstream() if obj["metadata"]["name"] == "system:node")
    return rules_of(found)


def upstream() -> list[Object]:
    """kube-apiserver's roles and bindings. Read anew at each call."""
    packed = Path(__file__).with_name("bootstrap.json.gz").read_bytes()
    found: list[Object] = json.loads(gzip.decompress(packed))
    return found


def everything() -> list[Object]:
    """Upstream's and ours, roles before the bindings that name them."""
    base = upstream()
    roles = [obj for obj in base if "roleRef" not in obj]
    bindings = [obj for obj in base if "roleRef" in obj]
    ours = {obj["metadata"]["name"]: obj for obj in roles if obj["kind"] == "ClusterRole"}
    return [*roles, *_our_roles(ours), *bindings, *_our_bindings()]


def rule(verbs: Iterable[str], group: str, *resources: str, names: Iterable[str] = ()) -> Object:
    """A resource rule."""
    found: Object = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    if names:
        found["resourceNames"] = list(names)
    return found


def cluster_role(name: str, rules: list[Object], *labels: str, **more: Any) -> Object:
    """A ClusterRole that is kept up to date."""
    marks = {**_LABELS, **{f"{AGGREGATE}{target}": "true" for target in labels}}
    metadata = {"name": name, "labels": marks, "annotations": {AUTOUPDATE: "true"}}
    head = {"apiVersion": API_VERSION, "kind": "ClusterRole", "metadata": metadata}
    return {**head, **more, "rules": rules}


def _our_roles(upstreams: dict[str, Object]) -> list[Object]:
    views = [rule(READ, group, *names) for group, names in _OURS.items()]
    edits = [rule(WRITE, group, *names) for group, names in _OURS.items()]
    return [
        cluster_role("system:cloudwright:aggregate-to-view", views, "view"),
        cluster_role("system:cloudwright:aggregate-to-edit", edits, "edit"),
        cluster_role(VIEWERS, [], aggregationRule=_selecting("view", "cloudwright-viewers")),
        cluster_role("system:cloudwright:viewers", _viewer_rules(), "cloudwright-viewers"),
        cluster_role(OPERATOR, _operator_rules(upstreams)),
        cluster_role(MESH, _mesh_rules()),
        cluster_role(NETWORK, _network_rules()),
        cluster_role(STORAGE, _storage_rules()),
    ]


def _selecting(*targets: str) -> Object:
    chosen = [{"matchLabels": {f"{AGGREGATE}{target}": "true"}} for target in targets]
    return {"clusterRoleSelectors": chosen}


def _viewer_rules() -> list[Object]:
    """What ``view`` does not have: everything that belongs to no namespace, and the metrics."""
    return [
        rule(READ, "", "nodes", "nodes/status", "persistentvolumes", "podtemplates"),
        rule(READ, "coordination.k8s.io", "leases"),
        rule(READ, "storage.k8s.io", "*"),
        rule(READ, "scheduling.k8s.io", "priorityclasses"),
        rule(READ, "node.k8s.io", "runtimeclasses"),
        rule(READ, "networking.k8s.io", "ingressclasses", "ipaddresses", "servicecidrs"),
        rule(READ, "admissionregistration.k8s.io", "*"),
        rule(READ, "apiextensions.k8s.io", "customresourcedefinitions"),
        rule(READ, "rbac.authorization.k8s.io", "*"),
        rule(READ, "flowcontrol.apiserver.k8s.io", "*"),
        {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
    ]


def _operator_rules(upstreams: dict[str, Object]) -> list[Object]:
    """The union of its controllers' roles, and what a MicroService becomes."""
    names = (f"system:controller:{name}" for name in _CONTROLLERS)
    found = [entry for name in names for entry in upstreams[name]["rules"]]
    everything = (*READ, *WRITE)
    own = [
        rule(everything, "platform.example.com", "*"),
        rule(everything, "cloudwright.dev", "*"),
        rule(everything, "", "configmaps", "services", "events"),
        rule(everything, "apps", "deployments", "replicasets", "deployments/status"),
        rule(everything, "apps", "controllerrevisions"),
        rule(everything, "policy", "poddisruptionbudgets"),
        rule(everything, "autoscaling", "horizontalpodautoscalers"),
        rule(everything, "coordination.k8s.io", "leases"),
        rule(("list", "watch"), "*", "*"),
    ]
    unique = {json.dumps(entry, sort_keys=True): entry for entry in (*found, *own)}
    return list(unique.values())


def _mesh_rules() -> list[Object]:
    return [
        rule(READ, "", "services", "pods"),
        rule(READ, "discovery.k8s.io", "endpointslices"),
        rule(READ, "cloudwright.dev", "routes"),
        rule(("patch", "update"), "cloudwright.dev", "routes/status"),
    ]


def _network_rules() -> list[Object]:
    return [
        rule(READ, "", "pods", "namespaces"),
        rule(READ, "networking.k8s.io", "networkpolicies"),
        rule(("create", "patch"), "", "events"),
    ]


def _storage_rules() -> list[Object]:
    """What a node needs to remove the data of its local volumes, beside ``system:node``."""
    return [rule((*READ, "patch"), "", "persistentvolumes")]


def _our_bindings() -> list[Object]:
    bound = (
        (VIEWERS, "Group", VIEWERS),
        (OPERATOR, "User", OPERATOR),
        (MESH, "User", MESH),
        (NETWORK, "User", NETWORK),
        (STORAGE, "Group", "system:nodes"),
    )
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "ClusterRoleBinding",
            "metadata": {
                "name": name,
                "labels": dict(_LABELS),
                "annotations": {AUTOUPDATE: "true"},
            },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": name,
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": subject}],
        }
        for name, kind, subject in bound
    ]
