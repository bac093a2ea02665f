"""What a pod uses by name: secrets, config maps, claims, its service account. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
