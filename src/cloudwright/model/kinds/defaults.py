"""The defaults of pod specs, as ``k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`` has them."""

from __future__ import annotations

from typing import Any

from cloudwright.model.kinds.spec import members
from cloudwright.model.objects import Object

_FILE_MODE = 0o644
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_TOKEN_SECONDS = 3600


def pod_spec(spec: Object) -> None:
    """Defaults of a pod's or a template's spec."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    if spec.setdefault("terminationGracePeriodSeconds", 30) < 0:
        spec["terminationGracePeriodSeconds"] = 1  # as upstream
    spec.setdefault("schedulerName", "default-scheduler")
    if "serviceAccountName" in spec or "serviceAccount" in spec:
        name = spec.get("serviceAccountName") or spec.get("serviceAccount")
        spec["serviceAccountName"] = spec["serviceAccount"] = name
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in members(spec, kind):
            _container(container)
    for volume in members(spec, "volumes"):
        _volume(volume)


def template(holder: Object) -> None:
    """Defaults of the pods to be, of whatever has a ``template``."""
    found = holder.get("template")
    if isinstance(found, dict):
        pod_spec(found.setdefault("spec", {}))


def requests_from_limits(spec: Object) -> None:
    """A limit without a request is the request too (pods only, not templates)."""
    for kind in ("initContainers", "containers"):
        for container in members(spec, kind):
            resources = container["resources"]
            if limits := resources.get("limits"):
                resources["requests"] = {**limits, **(resources.get("requests") or {})}


def pull_policy(image: str) -> str:
    """``Always`` for ``:latest`` and untagged images, else ``IfNotPresent``."""
    last = image.rsplit("/", 1)[-1]
    if "@" in last:
        return "IfNotPresent"
    tag = last.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _container(container: Object) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", pull_policy(str(container.get("image") or "")))
    for port in members(container, "ports"):
        port.setdefault("protocol", "TCP")
    for name in _PROBES:
        if (probe := container.get(name)) is not None:
            _probe(probe)
    for handler in (container.get("lifecycle") or {}).values():
        _http(handler)
    for variable in members(container, "env"):
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")


def _probe(probe: Object) -> None:
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(key):
            probe[key] = value
    if probe.get("grpc"):
        probe["grpc"].setdefault("service", "")
    _http(probe)


def _http(handler: Object | None) -> None:
    if handler and handler.get("httpGet"):
        handler["httpGet"].setdefault("path", "/")
        handler["httpGet"].setdefault("scheme", "HTTP")


def _volume(volume: Object) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for name in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(volume.get(name), dict):
            volume[name].setdefault("defaultMode", _FILE_MODE)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    _downward(volume.get("downwardAPI"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken"):
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
        _downward(source.get("downwardAPI"))


def _downward(source: Any) -> None:
    for item in (source or {}).get("items") or ():
        if item.get("fieldRef"):
            item["fieldRef"].setdefault("apiVersion", "v1")
