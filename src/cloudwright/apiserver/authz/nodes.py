"""What a node may do: everything about itself, and only what its own pods use.

As kube-apiserver's Node authorizer: secrets and config maps one by one, tokens for the service
accounts of its pods, pods by its name, its own Node and Lease. The rest is the role
``system:node``.
"""

from __future__ import annotations

from cloudwright.apiserver import encoding
from cloudwright.apiserver.authz import policy
from cloudwright.apiserver.authz.follower import Follower
from cloudwright.apiserver.authz.nodegraph import NodeGraph
from cloudwright.apiserver.identity import Attributes, User, Verdict
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Record, Store
from cloudwright.model import selectors

NODES = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"
_YES, _NO = Verdict(True), Verdict(False)
_OWN_VERBS = ("get", "create", "update", "patch", "delete")


class NodeAuthorizer:
    """Asked about members of ``system:nodes``; decides by which pods are bound where."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._graph = NodeGraph()
        self._follower = Follower(store, storage_of("", "pods"), self)

    def reset(self, records: list[Record]) -> None:
        """Start anew with these pods."""
        self._graph.clear()
        for record in records:
            self._graph.put(record.key, encoding.decode(record.value))

    def changed(self, key: str, value: bytes) -> None:
        """A pod was written. What a bound pod uses only grows by ephemeral containers."""
        if b'"ephemeralContainers"' in value or not self._graph.knows(key):
            self._graph.put(key, encoding.decode(value))

    def removed(self, key: str) -> None:
        """A pod is gone."""
        self._graph.drop(key)

    @staticmethod
    def concerns(user: User) -> bool:
        """Whether the user is a node."""
        return NODES in user.groups and user.name.startswith(PREFIX)

    async def authorize(self, user: User, wanted: Attributes) -> Verdict:
        """Whether the node may do that."""
        node = user.name.removeprefix(PREFIX)
        if not node:
            return Verdict(False, f'unknown node for user "{user.name}"')
        if wanted.path is None:
            about = (wanted.group, wanted.resource)
            if about in _RELATED:
                return await self._related(node, wanted)
            if about == ("", "nodes"):
                return _node(node, wanted)
            if about == ("", "pods"):
                return await self._pod(node, wanted)
            if about in _NAMED:
                return _own(node, wanted, *_NAMED[about])
        allowed = any(rule.allows(wanted) for rule in policy.node_rules())
        return _YES if allowed else _NO

    async def _related(self, node: str, wanted: Attributes) -> Verdict:
        verb, sub = wanted.verb, wanted.subresource
        if wanted.resource in ("secrets", "configmaps"):
            if verb not in ("get", "list", "watch"):
                return Verdict(False, "can only read resources of this type")
            if sub:
                return Verdict(False, "cannot read subresource")
            if not wanted.namespace:
                return Verdict(False, "can only read namespaced object of this type")
        elif wanted.resource == "serviceaccounts":
            if not (verb == "get" and not sub):
                if verb != "create" or not wanted.name:
                    message = "can only create tokens for individual service accounts"
                    return Verdict(False, message)
                if sub != "token":
                    message = "can only create token subresource of serviceaccount"
                    return Verdict(False, message)
        elif wanted.resource == "persistentvolumeclaims" and sub == "status":
            if verb not in ("update", "patch"):
                return Verdict(False, "can only get/update/patch this type")
        elif verb != "get":
            return Verdict(False, "can only get individual resources of this type")
        elif sub:
            return Verdict(False, "cannot get subresource")
        return await self._holds(node, wanted)

    async def _holds(self, node: str, wanted: Attributes) -> Verdict:
        if not wanted.name:
            return Verdict(False, "No Object name found")
        await self._follower.fresh()
        if wanted.resource == "persistentvolumes":
            found = await self._volume(node, wanted.name)
        elif wanted.resource == "volumeattachments":
            found = await self._attachment(node, wanted.name)
        else:
            found = self._graph.holds(node, wanted.resource, wanted.namespace, wanted.name)
        if found:
            return _YES
        return Verdict(False, f"no relationship found between node '{node}' and this object")

    async def _volume(self, node: str, name: str) -> bool:
        record = await self._store.get(f"{storage_of('', 'persistentvolumes')}/{name}")
        volume = encoding.decode(record.value) if record is not None else {}
        claim = (volume.get("spec") or {}).get("claimRef") or {}
        space, claimed = str(claim.get("namespace", "")), str(claim.get("name", ""))
        return self._graph.holds(node, "persistentvolumeclaims", space, claimed)

    async def _attachment(self, node: str, name: str) -> bool:
        key = f"{storage_of('storage.k8s.io', 'volumeattachments')}/{name}"
        record = await self._store.get(key)
        found = encoding.decode(record.value) if record is not None else {}
        return bool((found.get("spec") or {}).get("nodeName") == node)

    async def _pod(self, node: str, wanted: Attributes) -> Verdict:
        verb = wanted.verb
        if wanted.subresource == "status":
            return _YES if verb in ("update", "patch") else _NO
        if wanted.subresource == "eviction":
            return _YES if verb == "create" else _NO
        if wanted.subresource:
            return _NO
        if verb in ("create", "delete"):
            return _YES
        if verb == "get":
            return await self._holds(node, wanted)
        if verb not in ("list", "watch"):
            return _NO
        if _selected(wanted.field_selector, "spec.nodeName") == node:
            return _YES
        if wanted.name:
            return await self._holds(node, wanted)
        return Verdict(False, "can only list/watch pods with spec.nodeName field selector")


_RELATED = frozenset(
    {
        *(("", name) for name in ("secrets", "configmaps", "serviceaccounts")),
        *(("", name) for name in ("persistentvolumeclaims", "persistentvolumes")),
        ("storage.k8s.io", "volumeattachments"),
    }
)
_NAMED = {
    ("coordination.k8s.io", "leases"): ("a node lease", "node lease"),
    ("storage.k8s.io", "csinodes"): ("a CSINode", "CSINode"),
}


def _own(node: str, wanted: Attributes, one: str, kind: str) -> Verdict:
    """A Lease or CSINode of the node's own name. Which one is created, admission has to see."""
    if wanted.verb not in _OWN_VERBS:
        return Verdict(False, f"can only get, create, update, patch, or delete {one}")
    if wanted.resource == "csinodes" and wanted.subresource:
        return Verdict(False, "cannot authorize CSINode subresources")
    if wanted.resource == "leases" and wanted.namespace != LEASES:
        return Verdict(False, f'can only access leases in the "{LEASES}" system namespace')
    if wanted.verb != "create" and wanted.name != node:
        return Verdict(False, f"can only access {kind} with the same name as the requesting node")
    return _YES


def _node(node: str, wanted: Attributes) -> Verdict:
    verb = wanted.verb
    if wanted.subresource == "status":
        return _YES if verb in ("update", "patch") else _NO
    if wanted.subresource:
        return _NO
    if verb in ("create", "update", "patch"):
        return _YES
    if verb not in ("get", "list", "watch"):
        return _NO
    if wanted.name == node:
        return _YES
    what = f"'{wanted.name}'" if wanted.name else "all nodes"
    return Verdict(False, f"node '{node}' cannot read {what}, only its own Node object")


def _selected(text: str, field: str) -> str | None:
    if not text:
        return None
    try:
        return selectors.parse_fields(text).exactly(field)
    except ValueError:
        return None
