"""What ``kubectl get`` shows of each built-in kind, as kube-apiserver's printers have it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloudwright._base.clock import parse_rfc3339
from cloudwright.apiserver import pod_printer
from cloudwright.model import durations
from cloudwright.model.objects import Object, labels_of
from cloudwright.model.resources import Resource

Cells = Callable[[Object, datetime], list[Any]]
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Printer:
    """Columns after ``Name`` (name, type, priority, description) and the cells of an object."""

    columns: tuple[tuple[str, str, int, str], ...]
    cells: Cells
    named: bool = True
    """Whether the first column is the object's name."""


def find(resource: Resource) -> Printer | None:
    """The printer of a built-in kind."""
    return _PRINTERS.get((resource.group, resource.kind))


def plain(value: Any) -> str:
    """A value as text: strings as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def since(moment: str | None, now: datetime) -> str:
    """The age in kubectl's short form, ``<unknown>`` when there is no moment."""
    if not moment:
        return "<unknown>"
    return durations.age((now - parse_rfc3339(moment)).total_seconds())


def age(obj: Object, now: datetime) -> str:
    """The object's age."""
    return since(obj.get("metadata", {}).get("creationTimestamp"), now)


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A ``LabelSelector`` or a plain map as text; ``<none>`` when it is empty."""
    selector = selector or {}
    if "matchLabels" in selector or "matchExpressions" in selector:
        parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
        for one in selector.get("matchExpressions") or []:
            values = ",".join(one.get("values") or [])
            parts.append(
                {
                    "In": f"{one['key']} in ({values})",
                    "NotIn": f"{one['key']} notin ({values})",
                    "Exists": one["key"],
                    "DoesNotExist": f"!{one['key']}",
                }.get(one.get("operator", ""), one["key"])
            )
    else:
        parts = [f"{k}={v}" for k, v in sorted(selector.items())]
    return ",".join(parts) or NONE


def _spec(obj: Object) -> dict[str, Any]:
    return obj.get("spec") or {}


def _status(obj: Object) -> dict[str, Any]:
    return obj.get("status") or {}


def condition(obj: Object, kind: str) -> str | None:
    """The status of a condition, if it is there."""
    for one in _status(obj).get("conditions") or []:
        if one.get("type") == kind:
            return str(one.get("status"))
    return None


def _containers(template: Mapping[str, Any]) -> tuple[str, str]:
    containers = (template.get("spec") or {}).get("containers") or []
    names = ",".join(str(c.get("name", "")) for c in containers)
    return names, ",".join(str(c.get("image", "")) for c in containers)


def _namespace(obj: Object, now: datetime) -> list[Any]:
    return [_status(obj).get("phase", ""), age(obj, now)]


def _node(obj: Object, now: datetime) -> list[Any]:
    ready = condition(obj, "Ready")
    states = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if _spec(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k.removeprefix(prefix) for k in labels_of(obj) if k.startswith(prefix))
    info = _status(obj).get("nodeInfo") or {}
    addresses = {a.get("type"): a.get("address") for a in _status(obj).get("addresses") or []}
    return [
        ",".join(states),
        ",".join(role for role in roles if role) or NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _service(obj: Object, now: datetime) -> list[Any]:
    spec = _spec(obj)
    kind = spec.get("type", "ClusterIP")
    external = list(spec.get("externalIPs") or [])
    if kind == "LoadBalancer":
        ingress = (_status(obj).get("loadBalancer") or {}).get("ingress") or []
        external = [str(i.get("ip") or i.get("hostname")) for i in ingress] + external
        shown = ",".join(external) or "<pending>"
    elif kind == "ExternalName":
        shown = str(spec.get("externalName", ""))
    else:
        shown = ",".join(external) or NONE
    ports = []
    for port in spec.get("ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return [
        kind,
        spec.get("clusterIP") or NONE,
        shown,
        ",".join(ports) or NONE,
        age(obj, now),
        selector_text(spec.get("selector")),
    ]


def _few(items: list[str], shown: int = 3) -> str:
    if len(items) > shown:
        return f"{','.join(items[:shown])} + {len(items) - shown} more..."
    return ",".join(items) or NONE


def _endpoints(obj: Object, now: datetime) -> list[Any]:
    pairs = []
    for subset in obj.get("subsets") or []:
        addresses = [str(a.get("ip")) for a in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        pairs += [f"{a}:{p.get('port')}" for p in ports for a in addresses]
        pairs += [] if ports else addresses
    return [_few(pairs), age(obj, now)]


def _endpoint_slice(obj: Object, now: datetime) -> list[Any]:
    ports = [str(p.get("port", "*")) for p in obj.get("ports") or []]
    addresses = [a for e in obj.get("endpoints") or [] for a in e.get("addresses") or []]
    unset = "<unset>"
    return [
        obj.get("addressType", ""),
        _few(ports) if ports else unset,
        _few(addresses) if addresses else unset,
        age(obj, now),
    ]


def _config_map(obj: Object, now: datetime) -> list[Any]:
    return [len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


def _secret(obj: Object, now: datetime) -> list[Any]:
    return [obj.get("type", "Opaque"), len(obj.get("data") or {}), age(obj, now)]


def _service_account(obj: Object, now: datetime) -> list[Any]:
    return [len(obj.get("secrets") or []), age(obj, now)]


def _event(obj: Object, now: datetime) -> list[Any]:
    core = "involvedObject" in obj
    target = obj.get("involvedObject" if core else "regarding") or {}
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    moment = obj.get("eventTime")
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series:
        last = series.get("lastObservedTime") or last
        count = series.get("count", count)
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    parts = [str(source.get("component") or obj.get("reportingComponent") or "")]
    parts += [str(source["host"])] if source.get("host") else []
    return [
        since(last or moment or first, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{str(target.get('kind', '')).lower()}/{target.get('name', '')}",
        target.get("fieldPath", ""),
        ", ".join(parts),
        str(obj.get("message" if core else "note", "")).strip(),
        since(first or moment, now),
        count,
        (obj.get("metadata") or {}).get("name", ""),
    ]


def _lease(obj: Object, now: datetime) -> list[Any]:
    return [_spec(obj).get("holderIdentity", ""), age(obj, now)]


def _deployment(obj: Object, now: datetime) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    names, images = _containers(spec.get("template") or {})
    return [
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        names,
        images,
        selector_text(spec.get("selector")),
    ]


def _replica_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    names, images = _containers(spec.get("template") or {})
    return [
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        names,
        images,
        selector_text(spec.get("selector")),
    ]


def _crd(obj: Object, _now: datetime) -> list[Any]:
    return [(obj.get("metadata") or {}).get("creationTimestamp", "")]


def _micro_service(obj: Object, now: datetime) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    phase = status.get("phase") or "Pending"
    if obj["metadata"].get("deletionTimestamp"):
        phase = "Deleting"
    image = spec.get("image") or obj["metadata"]["name"]
    return [
        spec.get("version", ""),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        phase,
        status.get("url") or NONE,
        age(obj, now),
        status.get("version") or NONE,
        image,
        status.get("message", ""),
    ]


def _route(obj: Object, now: datetime) -> list[Any]:
    spec = _spec(obj)
    port = spec.get("port")
    return [
        ",".join(spec.get("hosts") or []) or "*",
        spec.get("pathPrefix") or spec.get("path") or "/",
        f"{spec.get('service', '')}{f':{port}' if port else ''}",
        age(obj, now),
    ]


def _columns(text: str) -> tuple[tuple[str, str, int, str], ...]:
    """``Ready Up-to-date:integer Containers+`` → columns; ``+`` means only with ``-o wide``."""
    out = []
    for word in text.split():
        wide = word.endswith("+")
        name, _, kind = word.rstrip("+").partition(":")
        name = name.replace("_", " ")
        out.append((name, kind or "string", int(wide), name))
    return tuple(out)


_WORKLOAD = "Age Containers+ Images+ Selector+"
_EVENT = "Last_Seen Type Reason Object Subobject+ Source+ Message First_Seen+ Count:integer+ Name+"
_PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "Pod"): Printer(
        _columns("Ready Status Restarts Age IP+ Node+ Nominated_Node+ Readiness_Gates+"),
        pod_printer.cells,
    ),
    ("", "Namespace"): Printer(_columns("Status Age"), _namespace),
    ("", "Node"): Printer(
        _columns(
            "Status Roles Age Version Internal-IP+ External-IP+ OS-Image+ Kernel-Version+ "
            "Container-Runtime+"
        ),
        _node,
    ),
    ("", "Service"): Printer(
        _columns("Type Cluster-IP External-IP Port(s) Age Selector+"), _service
    ),
    ("", "Endpoints"): Printer(_columns("Endpoints Age"), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        _columns("AddressType Ports Endpoints Age"), _endpoint_slice
    ),
    ("", "ConfigMap"): Printer(_columns("Data:integer Age"), _config_map),
    ("", "Secret"): Printer(_columns("Type Data:integer Age"), _secret),
    ("", "ServiceAccount"): Printer(_columns("Secrets:integer Age"), _service_account),
    ("", "Event"): Printer(_columns(_EVENT), _event, named=False),
    ("events.k8s.io", "Event"): Printer(_columns(_EVENT), _event, named=False),
    ("coordination.k8s.io", "Lease"): Printer(_columns("Holder Age"), _lease),
    ("apps", "Deployment"): Printer(
        _columns(f"Ready Up-to-date:integer Available:integer {_WORKLOAD}"), _deployment
    ),
    ("apps", "ReplicaSet"): Printer(
        _columns(f"Desired:integer Current:integer Ready:integer {_WORKLOAD}"), _replica_set
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Printer(
        _columns("Created_At:dateTime"), _crd
    ),
    ("platform.example.com", "MicroService"): Printer(
        _columns("Version Ready Status Route Age Serving+ Image+ Message+"), _micro_service
    ),
    ("cloudwright.dev", "Route"): Printer(_columns("Hosts Path Service Age"), _route),
}
