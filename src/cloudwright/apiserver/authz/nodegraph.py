"""Which objects belong to which node: by the pods that are bound to it and what they use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cloudwright.model.objects import Object

Reference = tuple[str, str, str]
"""``(plural, namespace, name)``."""
_MIRROR = "kubernetes.io/config.mirror"
_LISTS = ("initContainers", "containers", "ephemeralContainers")


def references(pod: Object) -> set[Reference]:
    """What the pod's node must be able to read, the pod itself included."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    namespace, name = str(metadata.get("namespace", "")), str(metadata["name"])
    found = {("pods", namespace, name)}
    if _MIRROR in (metadata.get("annotations") or {}):
        return found
    pairs = [("serviceaccounts", spec.get("serviceAccountName"))]
    pairs += [("secrets", entry.get("name")) for entry in spec.get("imagePullSecrets") or ()]
    for part in _LISTS:
        for container in spec.get(part) or ():
            pairs += _of_environment(container)
    for volume in spec.get("volumes") or ():
        pairs += _of_volume(volume, name)
    return found | {(plural, namespace, str(used)) for plural, used in pairs if used}


def _of_environment(container: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for entry in container.get("envFrom") or ():
        yield "secrets", (entry.get("secretRef") or {}).get("name")
        yield "configmaps", (entry.get("configMapRef") or {}).get("name")
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        yield "secrets", (source.get("secretKeyRef") or {}).get("name")
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name")


def _of_volume(volume: Mapping[str, Any], pod: str) -> Iterator[tuple[str, Any]]:
    yield "secrets", (volume.get("secret") or {}).get("secretName")
    yield "configmaps", (volume.get("configMap") or {}).get("name")
    yield "persistentvolumeclaims", (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if volume.get("ephemeral") is not None:
        yield "persistentvolumeclaims", f"{pod}-{volume.get('name')}"
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "secrets", (source.get("secret") or {}).get("name")
        yield "configmaps", (source.get("configMap") or {}).get("name")
    for kind in volume.values():
        if isinstance(kind, dict):
            for key in ("secretRef", "nodePublishSecretRef"):
                yield "secrets", (kind.get(key) or {}).get("name")


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

    def any_of(self, node: str, wanted: Iterable[Reference]) -> bool:
        """Whether the node holds one of them."""
        return any(node in self._holders.get(reference, ()) for reference in wanted)
