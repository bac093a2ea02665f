"""What ``kubectl get`` shows of how pods are reached, and of volumes. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudwright.apiserver.printing.common import (
    NONE,
    UNSET,
    Cells,
    age,
    deleting,
    few,
    selector_text,
    spec_of,
    status_of,
)
from cloudwright.model.objects import Object, annotations_of, name_of

_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
_DEFAULT_STORAGE = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def _endpoint_slice(obj: Object, now: datetime) -> list[Any]:
    ports = [str(p.get("port", "*")) for p in obj.get("ports") or []]
    addresses = [a for e in obj.get("endpoints") or [] for a in e.get("addresses") or []]
    return [
        obj.get("addressType", ""),
        few(ports) if ports else UNSET,
        few(addresses) if addresses else UNSET,
        age(obj, now),
    ]


def _policy(obj: Object, now: datetime) -> list[Any]:
    return [selector_text(spec_of(obj).get("podSelector")), age(obj, now)]


def _ingress(obj: Object, now: datetime) -> list[Any]:
    spec, balancer = spec_of(obj), status_of(obj).get("loadBalancer") or {}
    rules = spec.get("rules") or []
    hosts = [str(rule["host"]) for rule in rules if rule.get("host")]
    shown = ",".join(hosts[:3]) or "*"
    if len(hosts) >= 3 and len(rules) > 3:
        shown += f" + {len(rules) - 3} more..."
    found = (one.get("ip") or one.get("hostname") for one in balancer.get("ingress") or [])
    return [
        spec.get("ingressClassName", NONE),
        shown,
        ",".join(sorted({str(address) for address in found if address})),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _ingress_class(obj: Object, now: datetime) -> list[Any]:
    spec, name = spec_of(obj), name_of(obj)
    if annotations_of(obj).get(_DEFAULT_INGRESS) == "true":
        name += " (default)"
    parameters, shown = spec.get("parameters"), NONE
    if parameters is not None:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
        shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [name, spec.get("controller", ""), shown, age(obj, now)]


def _service_cidr(obj: Object, now: datetime) -> list[Any]:
    return [",".join(spec_of(obj).get("cidrs") or ()), age(obj, now)]


def _address(obj: Object, _now: datetime) -> list[Any]:
    parent = spec_of(obj).get("parentRef")
    if parent is None:
        return [NONE]
    group = f".{parent['group']}" if parent.get("group") else ""
    parts = [f"{parent.get('resource', '')}{group}".lower(), parent.get("namespace")]
    return ["/".join([*(str(part) for part in parts if part), str(parent.get("name", ""))])]


def _storage_class(obj: Object, now: datetime) -> list[Any]:
    name, annotations = name_of(obj), annotations_of(obj)
    if any(annotations.get(one) == "true" for one in _DEFAULT_STORAGE):
        name += " (default)"
    return [
        name,
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _attributes_class(obj: Object, now: datetime) -> list[Any]:
    return [obj.get("driverName", ""), age(obj, now)]


def _attachment(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    return [
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool(status_of(obj).get("attached")),
        age(obj, now),
    ]


def _csi_driver(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    tokens = spec.get("tokenRequests")
    audiences = ",".join(str(one.get("audience", "")) for one in tokens or ())
    return [
        spec.get("attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        UNSET if tokens is None else audiences,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age(obj, now),
    ]


def _csi_node(obj: Object, now: datetime) -> list[Any]:
    return [len(spec_of(obj).get("drivers") or ()), age(obj, now)]


def _created(obj: Object, _now: datetime) -> list[Any]:
    return [obj["metadata"].get("creationTimestamp", "")]


def _claim(obj: Object, now: datetime) -> list[Any]:
    status = status_of(obj)
    states = ["deleted"] if deleting(obj) else []
    if status.get("allocation") is not None:
        states += ["allocated", *(["reserved"] if status.get("reservedFor") else ())]
    elif not states:
        states = ["pending"]
    return [",".join(states), age(obj, now)]


def _slice(obj: Object, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    pool = (spec.get("pool") or {}).get("name", "")
    return [spec.get("nodeName", ""), spec.get("driver", ""), pool, age(obj, now)]


def _aged(obj: Object, now: datetime) -> list[Any]:
    return [age(obj, now)]


CELLS: dict[tuple[str, str], Cells] = {
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "IPAddress"): _address,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): _policy,
    ("networking.k8s.io", "ServiceCIDR"): _service_cidr,
    ("resource.k8s.io", "DeviceClass"): _aged,
    ("resource.k8s.io", "ResourceClaim"): _claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): _aged,
    ("resource.k8s.io", "ResourceSlice"): _slice,
    ("storage.k8s.io", "CSIDriver"): _csi_driver,
    ("storage.k8s.io", "CSINode"): _csi_node,
    ("storage.k8s.io", "CSIStorageCapacity"): _created,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("storage.k8s.io", "VolumeAttachment"): _attachment,
    ("storage.k8s.io", "VolumeAttributesClass"): _attributes_class,
}
NAMED = frozenset({("networking.k8s.io", "IngressClass"), ("storage.k8s.io", "StorageClass")})
"""Kinds whose cells begin with a name of their own."""
