"""Which objects belong to which node: by the pods that are bound to it and what they use. Pure."""

from __future__ import annotations

from cloudwright.model.objects import Object
from cloudwright.model.references import Reference, references


class NodeGraph:
    """References by the nodes whose pods hold them."""

    def __init__(self) -> None:
        self._pods: dict[str, tuple[str, set[Reference]]] = {}
        self._holders: dict[Reference, dict[str, int]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._pods.clear()
        self._holders.clear()

    def knows(self, key: str) -> bool:
        """Whether the pod under ``key`` is bound: its references no longer change."""
        return key in self._pods

    def put(self, key: str, pod: Object) -> None:
        """A pod was made or bound."""
        self.drop(key)
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if not node:
            return
        found = references(pod)
        self._pods[key] = (node, found)
        for reference in found:
            holders = self._holders.setdefault(reference, {})
            holders[node] = holders.get(node, 0) + 1

    def drop(self, key: str) -> None:
        """A pod is gone."""
        node, found = self._pods.pop(key, ("", set()))
        for reference in found:
            holders = self._holders[reference]
            holders[node] -= 1
            if not holders[node]:
                del holders[node]
            if not holders:
                del self._holders[reference]

    def holds(self, node: str, plural: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node uses that object (or is it)."""
        return node in self._holders.get((plural, namespace, name), ())
