"""Names of the mesh's resources; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ADS: Mapping[str, Any] = {"ads": {}, "resource_api_version": "V3"}
OWN, TRUST, SERVING = "default", "ROOTCA", "https"
"""Secrets: a node's own certificate, the mesh's trust bundle, the gateway's for browsers."""
GATEWAY_ROUTES = "gateway"
_TYPE = "type.googleapis.com/envoy."

Entry = Mapping[str, Any]
"""A service, port or route as the mesh snapshot has it (``docs/reference/internals.md``)."""


def typed(name: str, **fields: Any) -> dict[str, Any]:
    """A ``google.protobuf.Any`` of ``envoy.NAME`` in JSON form."""
    return {"@type": _TYPE + name, **fields}


def authority(namespace: str, service: str, port: int) -> str:
    """The name of a Service's port, of its cluster, assignment, routes and (gRPC) listener."""
    return f"{service}.{namespace}.svc.cluster.local:{port}"


def variant(name: str, balancer: str) -> str:
    """The name of a cluster with another load balancer than the Service's own."""
    return f"{name}|{balancer}"


def ports(service: Entry) -> Iterator[tuple[str, Entry]]:
    """Each port of a Service with its name among resources."""
    for port in service["ports"]:
        yield authority(service["namespace"], service["name"], port["port"]), port


def endpoints(service: Entry, port: Entry) -> list[tuple[str, int, str]]:
    """Address, port and identity of whoever serves a port of a Service."""
    return [
        (one["ip"], one["ports"][port["name"]], one["identity"])
        for one in service["endpoints"]
        if port["name"] in one["ports"]
    ]


def seconds(millis: int) -> str:
    """A ``google.protobuf.Duration`` in JSON form."""
    return f"{millis / 1000:.3f}s"
