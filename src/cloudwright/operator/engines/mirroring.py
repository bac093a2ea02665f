"""Endpoints that people write → EndpointSlices. Pure.

Source: kubernetes ``pkg/controller/endpointslicemirroring``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model.objects import (
    Object,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from cloudwright.operator.engines.endpoints import MANAGED_BY, MAX_ENDPOINTS, SERVICE_NAME
from cloudwright.operator.engines.templates import digest

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_MOST = 1000
"""Addresses with the same ports that are mirrored."""
_DROPPED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/last-change-trigger-time",
)


def mirrored(endpoints: Mapping[str, Any], service: Mapping[str, Any] | None) -> bool:
    """Whether these Endpoints are people's, for a Service that selects no pods."""
    if service is None or (service.get("spec") or {}).get("selector"):
        return False
    labels = labels_of(endpoints)
    if labels.get(SKIP) == "true" or "endpoints.kubernetes.io/managed-by" in labels:
        return False
    return _LEADER not in annotations_of(endpoints)


def slices(endpoints: Object) -> list[Object]:
    """The slices; the same wish always names the same objects."""
    groups: dict[str, tuple[str, list[Object], list[Object]]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [dict(port) for port in subset.get("ports") or ()]
        for key, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(key) or ():
                family = "IPv6" if ":" in address["ip"] else "IPv4"
                group = groups.setdefault(digest([family, ports]), (family, ports, []))
                group[2].append(_endpoint(address, ready=ready))
    found = []
    for family, ports, members in groups.values():
        kept = members[:_MOST]
        for start in range(0, len(kept), MAX_ENDPOINTS):
            part = kept[start : start + MAX_ENDPOINTS]
            suffix = digest([family, ports, start], 5)
            found.append(_slice(endpoints, suffix, family, ports, part))
    return found


def _endpoint(address: Mapping[str, Any], *, ready: bool) -> Object:
    entry: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for source, target in (("hostname", "hostname"), ("nodeName", "nodeName"), ("targetRef",) * 2):
        if address.get(source):
            entry[target] = address[source]
    return entry


def _slice(
    endpoints: Object, suffix: str, family: str, ports: list[Object], members: list[Object]
) -> Object:
    labels = {**labels_of(endpoints), SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER}
    annotations = {k: v for k, v in annotations_of(endpoints).items() if k not in _DROPPED}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name_of(endpoints)}-{suffix}",
            "namespace": namespace_of(endpoints),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(endpoints)],
        },
        "addressType": family,
        "endpoints": members,
        "ports": ports,
    }
