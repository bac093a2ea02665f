"""An Ingress as Routes of the gateway: one for each host and path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudwright.model.objects import Object, annotations_of, labels_of, name_of
from cloudwright.operator.engines.templates import digest

CONTROLLER = "cloudwright.dev/gateway"
_OLD_CLASS = "kubernetes.io/ingress.class"


@dataclass(frozen=True, slots=True)
class Backend:
    """Where one path goes; ``port`` is a number or the name of a Service's port."""

    host: str
    path: str
    service: str
    port: int | str
    exact: bool = False


def class_of(ingress: Mapping[str, Any]) -> str:
    """The IngressClass that an Ingress names."""
    named = (ingress.get("spec") or {}).get("ingressClassName")
    return str(named or annotations_of(ingress).get(_OLD_CLASS) or "")


def backends(ingress: Mapping[str, Any]) -> tuple[list[Backend], list[str]]:
    """Every path of an Ingress, and what of it is not served as it says."""
    spec = ingress.get("spec") or {}
    found: list[Backend] = []
    doubts: list[str] = []
    if spec.get("defaultBackend"):
        found += _backend("*", "/", spec["defaultBackend"], doubts)
    for rule in spec.get("rules") or ():
        host = str(rule.get("host") or "*")
        for entry in (rule.get("http") or {}).get("paths") or ():
            path = str(entry.get("path") or "/")
            exact = entry.get("pathType") == "Exact"
            found += _backend(host, path, entry.get("backend") or {}, doubts, exact=exact)
    if spec.get("tls"):
        doubts.append("spec.tls: the gateway keeps its own certificate")
    return found, doubts


def _backend(
    host: str, path: str, backend: Mapping[str, Any], doubts: list[str], *, exact: bool = False
) -> Iterator[Backend]:
    service = backend.get("service")
    if not service:
        doubts.append(f"{host}{path}: only backends that are Services are served")
        return
    port = service.get("port") or {}
    wanted = port.get("number") or port.get("name") or 0
    yield Backend(host, path, str(service["name"]), wanted, exact)


def port_number(backend: Backend, service: Mapping[str, Any] | None) -> int | None:
    """The Service's port as a number; ``None``: there is no such Service or port."""
    for entry in ((service or {}).get("spec") or {}).get("ports") or ():
        if backend.port in (entry.get("port"), entry.get("name")):
            return int(entry["port"])
    return None


def route(ingress: Object, backend: Backend, port: int) -> Object:
    """The Route of one path."""
    # A prefix keeps the name that it had before there were exact paths.
    suffix = digest([backend.host, backend.path, *(["exact"] if backend.exact else [])], 6)
    return {
        "metadata": {
            "name": f"{name_of(ingress)[:200]}-{suffix}",
            "labels": {**labels_of(ingress), "cloudwright.dev/ingress": name_of(ingress)[:63]},
        },
        "spec": {
            "hosts": [backend.host],
            "pathPrefix": backend.path,
            **({"exact": True} if backend.exact else {}),
            "stripPrefix": False,
            "service": backend.service,
            "port": port,
        },
    }
