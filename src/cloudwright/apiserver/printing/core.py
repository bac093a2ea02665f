"""What ``kubectl get`` shows of the kinds of the core group and of Events. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudwright.apiserver.printing import pods
from cloudwright.apiserver.printing.common import (
    NONE,
    UNSET,
    Cells,
    age,
    condition,
    containers_of,
    deleting,
    few,
    selector_text,
    since,
    spec_of,
    status_of,
)
from cloudwright.model.objects import Object, labels_of

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _namespace(obj: Object, now: datetime) -> list[Any]:
    return [status_of(obj).get("phase", ""), age(obj, now)]


def _node(obj: Object, now: datetime) -> list[Any]:
    ready = condition(obj, "Ready")
    states = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if spec_of(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k.removeprefix(prefix) for k in labels_of(obj) if k.startswith(prefix))
    info = status_of(obj).get("nodeInfo") or {}
    addresses = {a.get("type"): a.get("address") for a in status_of(obj).get("addresses") or []}
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
    spec = spec_of(obj)
    kind = spec.get("type", "ClusterIP")
    external = list(spec.get("externalIPs") or [])
    if kind == "LoadBalancer":
        ingress = (status_of(obj).get("loadBalancer") or {}).get("ingress") or []
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


def _endpoints(obj: Object, now: datetime) -> list[Any]:
    pairs = []
    for subset in obj.get("subsets") or []:
        addresses = [str(a.get("ip")) for a in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        pairs += [f"{a}:{p.get('port')}" for p in ports for a in addresses]
        pairs += [] if ports else addresses
    return [few(pairs), age(obj, now)]


def _config_map(obj: Object, now: datetime) -> list[Any]:
    return [len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


def _secret(obj: Object, now: datetime) -> list[Any]:
    return [obj.get("type", "Opaque"), len(obj.get("data") or {}), age(obj, now)]


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
    reporter = obj.get("reportingComponent" if core else "reportingController")
    parts = [str(source.get("component") or reporter or "")]
    host = source.get("host") or obj.get("reportingInstance")
    parts += [str(host)] if host else []
    return [
        since(last or moment or first, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        "/".join(filter(None, (str(target.get("kind", "")).lower(), target.get("name", "")))),
        target.get("fieldPath", ""),
        ", ".join(parts),
        str(obj.get("message" if core else "note", "")).strip(),
        since(first or moment, now),
        count,
        (obj.get("metadata") or {}).get("name", ""),
    ]


def _service_account(obj: Object, now: datetime) -> list[Any]:
    return [age(obj, now)]


def modes(given: list[str] | None) -> str:
    """Access modes in short, each once, in upstream's order."""
    return ",".join(short for mode, short in _MODES.items() if mode in (given or ()))


def _volume(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    claim = spec.get("claimRef")
    return [
        (spec.get("capacity") or {}).get("storage", "0"),
        modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", UNSET),
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode", UNSET),
    ]


def _claim(obj: Object, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    bound = bool(spec.get("volumeName"))
    return [
        "Terminating" if deleting(obj) else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName", UNSET),
        age(obj, now),
        spec.get("volumeMode", UNSET),
    ]


def _limits(obj: Object, _now: datetime) -> list[Any]:
    return [obj["metadata"].get("creationTimestamp", "")]


def _quota(obj: Object, now: datetime) -> list[Any]:
    hard, used = status_of(obj).get("hard") or {}, status_of(obj).get("used") or {}
    words: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(hard):
        text = f"{name}: {used.get(name, '0')}/{hard[name]}"
        words[name.startswith("limits.")].append(text)
    return [", ".join(words[False]), ", ".join(words[True]), age(obj, now)]


def _template(obj: Object, _now: datetime) -> list[Any]:
    template = obj.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    return [*containers_of(template), selector_text(labels)]


def _component(obj: Object, _now: datetime) -> list[Any]:
    for one in obj.get("conditions") or ():
        if one.get("type") == "Healthy":
            state = "Healthy" if one.get("status") == "True" else "Unhealthy"
            return [state, one.get("message", ""), one.get("error", "")]
    return ["Unknown", "", ""]


CELLS: dict[tuple[str, str], Cells] = {
    ("", "ComponentStatus"): _component,
    ("", "ConfigMap"): _config_map,
    ("", "Endpoints"): _endpoints,
    ("", "Event"): _event,
    ("events.k8s.io", "Event"): _event,
    ("", "LimitRange"): _limits,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): pods.cells,
    ("", "PodTemplate"): _template,
    ("", "ResourceQuota"): _quota,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("", "ServiceAccount"): _service_account,
}
