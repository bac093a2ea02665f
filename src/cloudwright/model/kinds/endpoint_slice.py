"""EndpointSlice: the addresses behind a Service (``discovery.k8s.io/v1``)."""

from __future__ import annotations

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.endpoints import address_problems
from cloudwright.model.kinds.spec import KindSpec, members, one_of, unchanged, wrong
from cloudwright.model.objects import Object


def _defaults(piece: Object) -> None:
    for port in members(piece, "ports"):
        port.setdefault("protocol", "TCP")
        port.setdefault("name", "")


def _check(piece: Object, old: Object | None) -> list[FieldError]:
    found = one_of(piece, "", "addressType", ("FQDN", "IPv4", "IPv6"))
    for index, endpoint in enumerate(members(piece, "endpoints")):
        if not members(endpoint, "addresses"):
            message = "must contain at least 1 address"
            found.append(fields.required(f"endpoints[{index}].addresses", message))
        if piece.get("addressType") == "FQDN":
            break
        for at, address in enumerate(members(endpoint, "addresses")):
            path = f"endpoints[{index}].addresses[{at}]"
            found += wrong(path, address, address_problems(str(address)))
    for index, port in enumerate(members(piece, "ports")):
        if port.get("port") is not None:
            problems = names.port_problems(port["port"])
            found += wrong(f"ports[{index}].port", port["port"], problems)
    return found + unchanged(piece, old, "", "addressType")


SPEC = KindSpec(resources.ENDPOINT_SLICE, _defaults, _check)
