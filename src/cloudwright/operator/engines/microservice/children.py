"""The Deployment, Service, ConfigMap and Route that a MicroService stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloudwright.model.objects import Object, name_of, namespace_of, owner_reference
from cloudwright.model.resources import POD_DISRUPTION_BUDGET, ROUTE
from cloudwright.operator.engines.microservice.world import (
    BACKENDS,
    EGRESS,
    LABEL,
    PRE_STOP_WEBHOOK,
)
from cloudwright.operator.engines.sync import stamped
from cloudwright.operator.engines.templates import copy

CONTAINER = "app"
DEFAULT_CONFIG_PATH = "/etc/config"
DEFAULT_PORT = {"name": "http", "port": 8080}
PROGRESS_DEADLINE = 60
_MOUNT_KEYS = ("mountPath", "readOnly", "subPath")
_PROBES = {
    "readinessProbe": "readinessProbePath",
    "livenessProbe": "livenessProbePath",
    "startupProbe": "startupProbePath",
}
_MANAGED = {"app.kubernetes.io/managed-by": "cloudwright"}


def image_of(service: Mapping[str, Any]) -> str:
    """The image: ``spec.image``, by default the name; a version is added when it has no tag."""
    image = str(service["spec"].get("image") or name_of(service))
    last = image.rsplit("/", 1)[-1]
    if ":" in last or "@" in last:
        return image
    # A tag may not hold the "+" of a semantic version's build metadata.
    return f"{image}:{str(service['spec']['version']).replace('+', '_')}"


def version_label(service: Mapping[str, Any]) -> str:
    """The version as a label's value, which allows less than ``spec.version`` does."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(service["spec"]["version"]))[:63].strip("_.-")


def ports_of(service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """``spec.ports``, by default ``http`` on 8080; each has ``name`` and ``port``."""
    ports = service["spec"].get("ports") or [DEFAULT_PORT]
    return [{"name": f"port-{i}" if i else "http", **port} for i, port in enumerate(ports)]


def is_url(hook: str) -> bool:
    """Whether a hook is called over the network; otherwise it is a file in the image."""
    return "://" in hook


def hook_of(service: Mapping[str, Any], name: str) -> str:
    """``preStopHook`` or ``postRolloutHook`` of the life-cycle policy; empty when there is none."""
    return str((service["spec"].get("lifecyclePolicy") or {}).get(name) or "")


def labels(service: Object) -> dict[str, str]:
    """The labels of every child."""
    return {
        "app.kubernetes.io/name": name_of(service),
        **_MANAGED,
        LABEL: name_of(service),
    }


def _metadata(service: Object) -> Object:
    return {
        "name": name_of(service),
        "namespace": namespace_of(service),
        "labels": {**labels(service), "app.kubernetes.io/version": version_label(service)},
        "ownerReferences": [owner_reference(service)],
    }


def pod_template(service: Object) -> Object:
    """The pod template. It holds nothing of the configuration's content: changing that restarts
    nothing.
    """
    spec = service["spec"]
    annotations: dict[str, str] = {}
    hook = hook_of(service, "preStopHook")
    if is_url(hook):
        annotations[PRE_STOP_WEBHOOK] = hook
    if spec.get("egress"):
        annotations[EGRESS] = "true"
    template: Object = {
        "metadata": {
            "labels": {**labels(service), "app.kubernetes.io/version": version_label(service)},
        },
        "spec": {"containers": [_container(service)]},
    }
    if annotations:
        template["metadata"]["annotations"] = annotations
    volumes = [
        {k: v for k, v in volume.items() if k not in _MOUNT_KEYS}
        for volume in spec.get("volumes") or []
    ]
    if has_config(spec):
        volumes.append({"name": "config", "configMap": {"name": name_of(service)}})
    if volumes:
        template["spec"]["volumes"] = volumes
    if spec.get("terminationGracePeriodSeconds") is not None:
        template["spec"]["terminationGracePeriodSeconds"] = spec["terminationGracePeriodSeconds"]
    return copy(template)


def _container(service: Object) -> Object:
    spec = service["spec"]
    ports = ports_of(service)
    container: Object = {
        "name": CONTAINER,
        "image": image_of(service),
        "imagePullPolicy": "IfNotPresent",
        "env": _environment(service),
        "ports": [{"name": p["name"], "containerPort": int(p["port"])} for p in ports],
    }
    for probe, path in _PROBES.items():
        if spec.get(path):
            container[probe] = _probe(spec[path], int(ports[0]["port"]), probe)
    for key in ("resources", "securityContext"):
        if spec.get(key):
            container[key] = spec[key]
    for key in ("command", "args"):
        if spec.get(key):
            container[key] = list(spec[key])
    hook = hook_of(service, "preStopHook")
    if hook and not is_url(hook):
        # A bare name would be looked up in PATH, not in the working directory.
        file = hook if "/" in hook else f"./{hook}"
        container["lifecycle"] = {"preStop": {"exec": {"command": [file]}}}
    mounts = [
        {k: volume[k] for k in ("name", *_MOUNT_KEYS) if k in volume}
        for volume in spec.get("volumes") or []
    ]
    if has_config(spec):
        path = spec.get("configPath") or DEFAULT_CONFIG_PATH
        mounts.append({"name": "config", "mountPath": path, "readOnly": True})
    if mounts:
        container["volumeMounts"] = mounts
    return container


def _probe(path: str, port: int, kind: str) -> Object:
    """A probe each second; a process has a minute to start and dies only after three misses."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": 10 if kind == "livenessProbe" else 1,
        "failureThreshold": 60 if kind == "startupProbe" else 3,
        "timeoutSeconds": 2,
    }


def _environment(service: Object) -> list[Object]:
    spec = service["spec"]
    own = {
        "PORT": str(ports_of(service)[0]["port"]),
        "SERVICE_NAME": name_of(service),
        "SERVICE_VERSION": str(spec["version"]),
    }
    entries = [dict(entry) for entry in spec.get("env") or []]
    names = {entry["name"] for entry in entries}
    return [{"name": k, "value": v} for k, v in own.items() if k not in names] + entries


def has_config(spec: Mapping[str, Any]) -> bool:
    """Whether configuration files are mounted. ``configPath`` alone does so too: then adding the
    first file later changes no template.
    """
    return spec.get("config") is not None or spec.get("configPath") is not None


def deployment(service: Object, template: Object, replicas: int) -> Object:
    """The Deployment with this template. A new version never takes capacity from the old one."""
    rollout = service["spec"].get("rollout") or {}
    return stamped(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _metadata(service),
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {LABEL: name_of(service)}},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {
                        "maxSurge": rollout.get("maxSurge", 1),
                        "maxUnavailable": rollout.get("maxUnavailable", 0),
                    },
                },
                "progressDeadlineSeconds": progress_deadline(service),
                "revisionHistoryLimit": 10,
                "template": template,
            },
        }
    )


def progress_deadline(service: Mapping[str, Any]) -> int:
    """``rollout.progressDeadlineSeconds``, by default 60."""
    rollout = service["spec"].get("rollout") or {}
    return int(rollout.get("progressDeadlineSeconds") or PROGRESS_DEADLINE)


def cluster_service(service: Object, backends: str | None = None) -> Object:
    """The Service: port 80 to the first port, and each port as itself. Target ports are names,
    so that pods of two versions may listen on different numbers. ``backends`` says who answers in
    its place (``None``: nothing is said, the empty text takes back what was).
    """
    ports = ports_of(service)
    entries = []
    first = ports[0]
    if all(int(port["port"]) != 80 for port in ports):
        entries.append({**_service_port(first, "http80"), "port": 80})
    entries.extend(_service_port(port, str(port["name"])) for port in ports)
    metadata = _metadata(service)
    if backends is not None:
        metadata["annotations"] = {BACKENDS: backends}
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {LABEL: name_of(service)}, "ports": entries},
        }
    )


def _service_port(port: Mapping[str, Any], name: str) -> Object:
    entry: Object = {
        "name": name,
        "port": int(port["port"]),
        "targetPort": port["name"],
        "protocol": "TCP",
    }
    protocol = application_protocol(port)
    if protocol:
        entry["appProtocol"] = protocol
    return entry


def application_protocol(port: Mapping[str, Any]) -> str:
    """``appProtocol`` of a port: gRPC is HTTP/2 without TLS (KEP 3726)."""
    protocol = str(port.get("protocol") or "http")
    return {"grpc": "kubernetes.io/h2c", "http": "http"}.get(protocol, "tcp")


def url_of(service: Mapping[str, Any]) -> str:
    """Where the gateway answers for it: host (if only one will do) and path; empty without."""
    wish = service["spec"].get("route") or {}
    if wish.get("disabled"):
        return ""
    hosts = _hosts(wish)
    return (hosts[0] if hosts else "") + str(wish.get("path") or f"/{name_of(service)}")


def _hosts(wish: Mapping[str, Any]) -> list[str]:
    hosts = list(wish.get("hosts") or [])
    host = wish.get("host")
    return [host, *hosts] if host and host not in hosts else hosts


def route(service: Object) -> Object | None:
    """The Route; ``None`` when ``spec.route.disabled`` says so."""
    wish = service["spec"].get("route") or {}
    if wish.get("disabled"):
        return None
    strip = wish.get("stripPrefix")
    spec: Object = {
        "pathPrefix": str(wish.get("path") or f"/{name_of(service)}"),
        "stripPrefix": True if strip is None else bool(strip),
        "service": name_of(service),
        "port": 80,
    }
    if hosts := _hosts(wish):
        spec["hosts"] = hosts
    for key in ("timeout", "retries", "loadBalancer"):
        if wish.get(key) is not None:
            spec[key] = wish[key]
    return stamped(
        {
            "apiVersion": ROUTE.api_version,
            "kind": ROUTE.kind,
            "metadata": _metadata(service),
            "spec": spec,
        }
    )


def config_map(service: Object, config: Mapping[str, Any] | None = None) -> Object:
    """The ConfigMap with the configuration files: those of the spec, or other ones."""
    files = (service["spec"].get("config") or {}) if config is None else config
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(service),
            "data": {key: str(text) for key, text in files.items()},
        }
    )


def disruption_budget(service: Object) -> Object:
    """The PodDisruptionBudget: whoever empties a node takes one pod at a time."""
    return stamped(
        {
            "apiVersion": POD_DISRUPTION_BUDGET.api_version,
            "kind": POD_DISRUPTION_BUDGET.kind,
            "metadata": _metadata(service),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": {LABEL: name_of(service)}},
            },
        }
    )
