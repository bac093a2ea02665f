"""EndpointSlices and Endpoints of a Service, from its pods.

Source: kubernetes ``staging/src/k8s.io/endpointslice`` (``podToEndpoint``) and
``pkg/controller/endpoint``; API reference of ``discovery.k8s.io/v1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.model import pods as podstate
from cloudwright.model.objects import (
    Object,
    deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from cloudwright.operator.engines.templates import digest

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100
_PortList = tuple[tuple[str, int, str, str], ...]


def target_port(port: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    """The number of a Service port on one pod: ``targetPort`` is a number, a container port's
    name, or absent (the port itself). ``None`` when the pod has no port of that name.
    """
    wanted = port.get("targetPort")
    if wanted in (None, 0, ""):
        return int(port["port"])
    if isinstance(wanted, int):
        return wanted
    if str(wanted).isdigit():
        return int(str(wanted))
    protocol = port.get("protocol") or "TCP"
    spec = pod.get("spec", {})
    containers = list(spec.get("containers") or [])
    containers += [c for c in spec.get("initContainers") or [] if c.get("restartPolicy")]
    for container in containers:
        for entry in container.get("ports") or []:
            if entry.get("name") == wanted and (entry.get("protocol") or "TCP") == protocol:
                return int(entry["containerPort"])
    return None


def listed(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is an endpoint at all: it has an address and has not ended."""
    return bool(pod.get("status", {}).get("podIP")) and not podstate.is_terminal(pod)


def conditions(pod: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, bool]:
    """``serving`` is readiness; ``ready`` also wants that the pod is not being deleted."""
    serving = podstate.is_ready(pod)
    terminating = deleting(pod)
    ready = serving and not terminating
    if service.get("spec", {}).get("publishNotReadyAddresses"):
        ready = True
    return {"ready": ready, "serving": serving, "terminating": terminating}


def _ports(service: Mapping[str, Any], pod: Mapping[str, Any]) -> _PortList:
    found = []
    for port in service["spec"].get("ports") or []:
        number = target_port(port, pod)
        if number is not None:
            found.append(
                (
                    str(port.get("name") or ""),
                    number,
                    str(port.get("protocol") or "TCP"),
                    str(port.get("appProtocol") or ""),
                )
            )
    return tuple(found)


def _slice_port(entry: tuple[str, int, str, str]) -> Object:
    name, number, protocol, application = entry
    port: Object = {"name": name, "port": number, "protocol": protocol}
    if application:
        port["appProtocol"] = application
    return port


def _reference(pod: Object) -> Object:
    return {
        "kind": "Pod",
        "namespace": namespace_of(pod),
        "name": name_of(pod),
        "uid": uid_of(pod),
    }


def _endpoint(pod: Object, service: Object) -> Object:
    entry: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": conditions(pod, service),
        "targetRef": _reference(pod),
    }
    if pod.get("spec", {}).get("nodeName"):
        entry["nodeName"] = pod["spec"]["nodeName"]
    return entry


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def slices(service: Object, selected: Sequence[Object]) -> list[Object]:
    """The EndpointSlices a Service should have; pods with other port numbers get their own.

    Names depend only on the Service and the ports, so that the same wish always names the same
    objects.
    """
    groups: dict[tuple[str, _PortList], list[Object]] = {}
    for pod in sorted(selected, key=name_of):
        if listed(pod):
            family = _family(str(pod["status"]["podIP"]))
            groups.setdefault((family, _ports(service, pod)), []).append(pod)
    if not groups:
        groups[("IPv4", ())] = []
    result = []
    for (family, ports), members in sorted(groups.items()):
        for start in range(0, max(len(members), 1), MAX_ENDPOINTS):
            suffix = digest([family, ports, start], 5)
            part = members[start : start + MAX_ENDPOINTS]
            result.append(_slice(service, suffix, family, ports, part))
    return result


def _slice(
    service: Object, suffix: str, family: str, ports: _PortList, members: Sequence[Object]
) -> Object:
    inherited = {
        key: value for key, value in labels_of(service).items() if not key.startswith("service.")
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name_of(service)}-{suffix}",
            "namespace": namespace_of(service),
            "labels": {**inherited, SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER},
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": family,
        "endpoints": [_endpoint(pod, service) for pod in members],
        "ports": [_slice_port(entry) for entry in ports],
    }


def endpoints(service: Object, selected: Sequence[Object]) -> Object:
    """The (older) Endpoints object; terminating pods are left out of it, as upstream."""
    groups: dict[_PortList, tuple[list[Object], list[Object]]] = {}
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in sorted(selected, key=name_of):
        if not listed(pod) or (deleting(pod) and not publish):
            continue
        entry: Object = {"ip": pod["status"]["podIP"], "targetRef": _reference(pod)}
        if pod.get("spec", {}).get("nodeName"):
            entry["nodeName"] = pod["spec"]["nodeName"]
        good, waiting = groups.setdefault(_ports(service, pod), ([], []))
        (good if conditions(pod, service)["ready"] else waiting).append(entry)
    subsets = []
    for ports, (good, waiting) in sorted(groups.items(), key=lambda item: item[0]):
        subset: Object = {"ports": [_slice_port(entry) for entry in ports]}
        if good:
            subset["addresses"] = good
        if waiting:
            subset["notReadyAddresses"] = waiting
        subsets.append(subset)
    result: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": name_of(service),
            "namespace": namespace_of(service),
            "labels": {
                **labels_of(service),
                "endpoints.kubernetes.io/managed-by": "endpoint-controller",
            },
        },
    }
    if subsets:
        result["subsets"] = subsets
    return result
