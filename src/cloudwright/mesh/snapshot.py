"""The mesh snapshot (pure): Services, EndpointSlices, Pods and Routes → what every proxy is told.

One broken object must never keep the others from the proxies (they refuse a bad snapshot whole), so
what a proxy would not accept is left out here, with the reason.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudwright.mesh.routes import Verdict, judge
from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

SERVICE_NAME = "kubernetes.io/service-name"
API = "default/kubernetes"
"""The API's own endpoints: pods ask it directly, so no proxy is told of them."""
BACKENDS = "cloudwright.dev/backends"
"""Annotation of a Service: ``{"NAME": WEIGHT, …}``, Services of its namespace that answer in its
place, by weight; its own name may be among them."""
_GRPC = ("grpc", "kubernetes.io/h2c")


@dataclass(frozen=True, slots=True)
class Problem:
    """An object (``Kind namespace/name``) that is left out, or partly, and why."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a snapshot is built from. ``excluded`` addresses get no new requests; ``owners`` has
    the uid of the pod that really holds an address here, whatever the API still says of others
    (after a reboot it is behind).
    """

    trust_domain: str
    services: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    routes: Sequence[Object] = ()
    excluded: Collection[str] = frozenset()
    owners: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Built:
    """A snapshot without its version, and what was decided on the way."""

    body: dict[str, Any]
    verdicts: dict[str, Verdict]
    problems: list[Problem] = field(default_factory=list)


def build(inputs: Inputs) -> Built:
    """The snapshot for ``inputs``; the same inputs in any order give the same body."""
    problems: list[Problem] = []
    pods = {key_of(pod): pod for pod in inputs.pods}
    by_service: dict[tuple[str, str], list[Object]] = {}
    for piece in sorted(inputs.slices, key=key_of):
        owner = labels_of(piece).get(SERVICE_NAME)
        if owner and not deleting(piece) and key_of(piece) != API:
            by_service.setdefault((namespace_of(piece), owner), []).append(piece)
    services = []
    addresses: dict[str, str] = {}
    for service in sorted(inputs.services, key=_age):
        entry = _service(service, addresses, problems)
        if entry is None:
            continue
        pieces = by_service.get((entry["namespace"], entry["name"]), [])
        entry["endpoints"] = _endpoints(pieces, entry, pods, inputs, problems)
        services.append(entry)
    services.sort(key=lambda entry: (entry["namespace"], entry["name"]))
    _split(services, inputs.services, problems)
    ports = {(s["namespace"], s["name"]): [p["port"] for p in s["ports"]] for s in services}
    judged = judge(inputs.routes, ports)
    problems += [
        Problem(f"Route {key}", verdict.message)
        for key, verdict in sorted(judged.verdicts.items())
        if not verdict.accepted and verdict.reason != "Disabled"
    ]
    body = {"trust_domain": inputs.trust_domain, "services": services, "routes": judged.served}
    return Built(body, judged.verdicts, problems)


def _split(
    entries: Iterable[dict[str, Any]], services: Iterable[Object], problems: list[Problem]
) -> None:
    """Add the weighted backends that annotations ask for, those that there are."""
    known = {(entry["namespace"], entry["name"]): entry for entry in entries}
    for service in services:
        text = annotations_of(service).get(BACKENDS)
        entry = known.get((namespace_of(service), name_of(service)))
        if not text or entry is None:
            continue
        subject = f"Service {key_of(service)}"
        try:
            weights = _weights(text)
        except ValueError as error:
            problems.append(Problem(subject, f"annotation {BACKENDS}: {error}"))
            continue
        found = []
        for name, weight in sorted(weights.items()):
            if (entry["namespace"], name) in known:
                found.append({"service": name, "weight": weight})
            else:
                message = f"annotation {BACKENDS}: there is no Service {name}"
                problems.append(Problem(subject, message))
        if any(backend["weight"] for backend in found):
            entry["backends"] = found


def _weights(text: str) -> dict[str, int]:
    """Raises ValueError (also for bad JSON)."""
    weights = json.loads(text)
    good = isinstance(weights, dict) and all(
        isinstance(w, int) and not isinstance(w, bool) and 0 <= w <= 1_000_000
        for w in weights.values()
    )
    if not good:
        raise ValueError('must be like {"payment": 90, "payment-canary": 10}')
    return dict(weights)


def addresses_in(body: Mapping[str, Any]) -> set[str]:
    """Every endpoint address of a snapshot."""
    return {e["ip"] for service in body["services"] for e in service["endpoints"]}


def protocol_of(port: Mapping[str, Any]) -> str:
    """``http``, ``grpc`` or ``tcp``: what ``appProtocol`` says, else the port's name."""
    application = str(port.get("appProtocol") or "").lower()
    if application in _GRPC:
        return "grpc"
    if application == "tcp":
        return "tcp"
    if application:  # http, https, kubernetes.io/ws …: all of them begin as HTTP/1.1
        return "http"
    name = str(port.get("name") or "").lower()
    for protocol in ("grpc", "tcp"):
        if name.startswith(protocol):
            return protocol
    return "http"


def _age(service: Object) -> tuple[str, str]:
    return str(service.get("metadata", {}).get("creationTimestamp") or "9999"), key_of(service)


def _service(
    service: Object, taken: dict[str, str], problems: list[Problem]
) -> dict[str, Any] | None:
    """A Service without endpoints; ``taken`` has the owners of the addresses so far."""
    spec = service.get("spec") or {}
    subject = f"Service {key_of(service)}"
    if spec.get("type") == "ExternalName":
        problems.append(Problem(subject, "type ExternalName is not served by the mesh"))
        return None
    address = str(spec.get("clusterIP") or "")
    if address == "None":
        address = ""
    if address and not _is_ipv4(address):
        problems.append(Problem(subject, f"clusterIP {address} is not an IPv4 address"))
        address = ""
    if address and address in taken:
        problems.append(Problem(subject, f"clusterIP {address} belongs to {taken[address]}"))
        return None
    if address:
        taken[address] = key_of(service)
    return {
        "namespace": namespace_of(service),
        "name": name_of(service),
        "cluster_ip": address,
        "load_balancer": "round_robin",
        "ports": _ports(spec.get("ports") or [], subject, problems),
    }


def _ports(
    ports: Iterable[Mapping[str, Any]], subject: str, problems: list[Problem]
) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    numbers: set[int] = set()
    for port in ports:
        name, number = str(port.get("name") or ""), port.get("port")
        if (port.get("protocol") or "TCP") != "TCP":
            problems.append(Problem(subject, f"port {number}: only TCP goes through the mesh"))
        elif not _is_port(number):
            problems.append(Problem(subject, f"port {number!r} is not between 1 and 65535"))
        elif name in found or number in numbers:
            problems.append(Problem(subject, f"port {name or number} appears twice"))
        else:
            numbers.add(int(str(number)))
            found[name] = {"name": name, "port": number, "protocol": protocol_of(port)}
    return list(found.values())


def _endpoints(
    pieces: Iterable[Object],
    service: Mapping[str, Any],
    pods: Mapping[str, Object],
    inputs: Inputs,
    problems: list[Problem],
) -> list[dict[str, Any]]:
    """The endpoints that get new requests, by address; slices with other ports are merged."""
    wanted = {port["name"] for port in service["ports"]}
    found: dict[str, dict[str, Any]] = {}
    for piece in pieces:
        ports = {
            str(port.get("name") or ""): int(port["port"])
            for port in piece.get("ports") or []
            if _is_port(port.get("port")) and str(port.get("name") or "") in wanted
        }
        for endpoint in piece.get("endpoints") or []:
            pod, why_not = _pod_of(endpoint, namespace_of(piece), pods)
            if pod is None:
                if why_not:
                    problems.append(Problem(f"EndpointSlice {key_of(piece)}", why_not))
                continue
            ip = str(pod.get("status", {}).get("podIP"))
            mine = inputs.owners.get(ip, uid_of(pod)) == uid_of(pod)
            if ip in inputs.excluded or not mine or not ports:
                continue
            account = pod.get("spec", {}).get("serviceAccountName") or "default"
            entry = found.setdefault(
                ip,
                {
                    "ip": ip,
                    "pod": key_of(pod),
                    "identity": f"spiffe://{inputs.trust_domain}/ns/{namespace_of(pod)}/sa/{account}",
                    "ports": {},
                },
            )
            entry["ports"].update(ports)
    return [found[ip] for ip in sorted(found, key=lambda ip: int(ipaddress.IPv4Address(ip)))]


def _pod_of(
    endpoint: Mapping[str, Any], namespace: str, pods: Mapping[str, Object]
) -> tuple[Object | None, str]:
    """The pod of an endpoint that should get new requests; else ``None`` and, when it is worth
    telling, why.
    """
    conditions = endpoint.get("conditions") or {}
    if conditions.get("ready") is False or conditions.get("terminating"):
        return None, ""
    addresses = endpoint.get("addresses") or []
    reference = endpoint.get("targetRef") or {}
    if reference.get("kind") != "Pod":
        where = ", ".join(str(address) for address in addresses)
        return None, f"endpoint {where} is no pod, so its identity is not known"
    pod = pods.get(f"{reference.get('namespace') or namespace}/{reference.get('name')}")
    if pod is None or deleting(pod):
        return None, ""
    if reference.get("uid") and reference["uid"] != uid_of(pod):
        return None, ""
    ip = pod.get("status", {}).get("podIP")
    if not ip or ip not in addresses or not _is_ipv4(str(ip)):
        return None, ""
    return pod, ""


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
