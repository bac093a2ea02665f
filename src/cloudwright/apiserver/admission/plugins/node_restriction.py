"""NodeRestriction: a node writes only itself, its Lease, and the pods that are bound to it."""

from __future__ import annotations

from typing import Any

from cloudwright.apiserver import encoding
from cloudwright.apiserver.admission.plugins.plugin import Plugin, refused
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.authz.nodes import LEASES, PREFIX, NodeAuthorizer
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.objects import Object, annotations_of, labels_of, name_of
from cloudwright.model.references import references

_MIRROR = "kubernetes.io/config.mirror"
_RESTRICTED = "node-restriction.kubernetes.io"


class NodeRestriction(Plugin):
    """Asked about everything that nodes write; looks at the user first."""

    about = frozenset(
        {
            *(("", name) for name in ("pods", "nodes", "serviceaccounts")),
            ("", "persistentvolumeclaims"),
            ("coordination.k8s.io", "leases"),
            ("storage.k8s.io", "csinodes"),
        }
    )
    on = frozenset({"CREATE", "UPDATE", "DELETE"})
    subresources = True

    def __init__(self, store: Store) -> None:
        self._store = store

    async def mutate(self, review: Review) -> None:
        """Refuse what is not the node's own. Raises ``ApiError`` 403."""
        if not NodeAuthorizer.concerns(review.user):
            return
        node = review.user.name.removeprefix(PREFIX)
        if not node:
            message = f'could not determine node from user "{review.user.name}"'
            raise refused(review, message)
        problem = await self._problem(node, review)
        if problem:
            raise refused(review, problem)

    async def _problem(self, node: str, review: Review) -> str:
        plural = review.resource.plural
        if plural == "pods":
            return _pod(node, review)
        if plural == "nodes":
            return _node(node, review)
        if plural == "serviceaccounts":
            return await self._token(node, review)
        if plural == "persistentvolumeclaims":
            return "" if review.subresource == "status" else "may only update PVC status"
        name = name_of(review.obj) if review.obj is not None else review.name
        if plural == "leases":
            if review.namespace != LEASES:
                return f'can only access leases in the "{LEASES}" system namespace'
            if name != node:
                return "can only access node lease with the same name as the requesting node"
        elif name != node:
            return "can only access CSINode with the same name as the requesting node"
        return ""

    async def _token(self, node: str, review: Review) -> str:
        if review.operation != "CREATE" or review.subresource != "token":
            return ""
        spec: dict[str, Any] = (review.obj or {}).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if bound.get("kind") != "Pod" or bound.get("apiVersion") != "v1" or not bound.get("name"):
            return "node requested token not bound to a pod"
        if not bound.get("uid"):
            return "node requested token with a pod binding without a uid"
        key = f"{storage_of('', 'pods')}{review.namespace}/{bound['name']}"
        record = await self._store.get(key)
        pod = encoding.decode(record.value) if record is not None else {}
        if not pod or pod["metadata"]["uid"] != bound["uid"]:
            return "the UID in the bound object reference does not match the UID in record"
        if (pod.get("spec") or {}).get("nodeName") != node:
            return "node requested token bound to a pod scheduled on a different node"
        return ""


def _bound(pod: Object | None) -> str:
    return str(((pod or {}).get("spec") or {}).get("nodeName") or "")


def _pod(node: str, review: Review) -> str:
    sub, operation, old = review.subresource, review.operation, review.old
    itself = "pods with spec.nodeName set to itself"
    if sub == "status":
        if operation != "UPDATE":
            return f'unexpected operation "{operation}"'
        if _bound(old) != node:
            return f'node "{node}" can only update pod status for {itself}'
        if labels_of(old or {"metadata": {}}) != labels_of(review.obj or {"metadata": {}}):
            return f'node "{node}" cannot update labels through pod status'
        return ""
    if sub == "eviction":
        return "" if _bound(old) in ("", node) else f'node "{node}" can only evict {itself}'
    if sub:
        return f"unexpected pod subresource \"{sub}\", only 'status' and 'eviction' are allowed"
    if operation == "DELETE":
        return "" if _bound(old) == node else f'node "{node}" can only delete {itself}'
    if operation == "CREATE":
        return _mirror(node, review.obj or {})
    return (
        f'unexpected operation "{operation}", node "{node}" can only create and delete mirror pods'
    )


def _mirror(node: str, pod: Object) -> str:
    if _MIRROR not in annotations_of(pod):
        return (
            f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
        )
    if _bound(pod) != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    without_mark = {**pod, "metadata": {**pod["metadata"], "annotations": {}}}
    used = {plural for plural, _, _ in references(without_mark)} - {"pods"}
    if used:
        return f'node "{node}" can not create pods that reference {min(used)}'
    return ""


def _node(node: str, review: Review) -> str:
    name = name_of(review.obj) if review.obj is not None else review.name
    if name != node:
        return f'node "{node}" is not allowed to modify node "{name}"'
    if review.operation == "DELETE":
        return f'node "{node}" is not allowed to delete itself'
    old, new = labels_of(review.old or {"metadata": {}}), labels_of(review.obj or {"metadata": {}})
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    forbidden = [key for key in changed if _reserved(key)]
    if forbidden:
        return f"is not allowed to modify labels: {', '.join(forbidden)}"
    before, after = review.old or {}, review.obj or {}
    taints = [(obj.get("spec") or {}).get("taints") or [] for obj in (before, after)]
    if review.operation == "UPDATE" and taints[0] != taints[1]:
        return f'node "{node}" is not allowed to modify taints'
    return ""


def _reserved(key: str) -> bool:
    """Labels by which administrators keep nodes apart."""
    prefix, slash, _ = key.rpartition("/")
    return bool(slash) and (prefix == _RESTRICTED or prefix.endswith(f".{_RESTRICTED}"))
