"""Roles and bindings in few words."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver.authz import policy, reconcile
from cloudwright.apiserver.authz.index import GROUP, Index
from cloudwright.apiserver.identity import Attributes, User

PLURALS = {
    "Role": "roles",
    "ClusterRole": "clusterroles",
    "RoleBinding": "rolebindings",
    "ClusterRoleBinding": "clusterrolebindings",
}
ADMIN = User("root", ("system:masters", "system:authenticated"))
VIEWER = User("ann", ("cloudwright:viewers", "system:authenticated"))
NOBODY = User("joe", ("system:authenticated",))
STRANGER = User("system:anonymous", ("system:unauthenticated",))


def key(obj: dict[str, Any]) -> str:
    metadata = obj["metadata"]
    return f"/{GROUP}/{PLURALS[obj['kind']]}/{metadata.get('namespace', '')}/{metadata['name']}"


def role(name: str, *rules: dict[str, Any], namespace: str = "", **more: Any) -> dict[str, Any]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    head = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}
    return {**head, "rules": list(rules), **more}


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> dict[str, Any]:
    made = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return {**made, "resourceNames": names.split()} if names else made


def urls(verbs: str, *paths: str) -> dict[str, Any]:
    return {"verbs": verbs.split(), "nonResourceURLs": list(paths)}


def binding(
    name: str, to: str, *subjects: dict[str, str], namespace: str = "", kind: str = "ClusterRole"
) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": to},
        "subjects": list(subjects),
    }


def user(name: str) -> dict[str, str]:
    return {"apiGroup": GROUP, "kind": "User", "name": name}


def group(name: str) -> dict[str, str]:
    return {"apiGroup": GROUP, "kind": "Group", "name": name}


def account(name: str, namespace: str = "") -> dict[str, str]:
    found = {"kind": "ServiceAccount", "name": name}
    return {**found, "namespace": namespace} if namespace else found


def index_of(*objects: dict[str, Any]) -> Index:
    made = Index()
    for obj in objects:
        made.put(key(obj), obj)
    return made


def bootstrap() -> Index:
    """What every cluster has."""
    objects = policy.everything()
    reconcile.complete(objects)
    return index_of(*objects)


def can(index: Index, who: User, verb: str, resource: str, name: str = "", **more: str) -> bool:
    resource, _, subresource = resource.partition("/")
    resource, _, api_group = resource.partition(".")
    wanted = Attributes(verb, api_group, resource, subresource, name=name, **more)
    return index.decide(who, wanted).allowed
