"""Endpoints: the addresses behind a Service, in the older form."""

from __future__ import annotations

import ipaddress

from cloudwright.model import names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, members, wrong
from cloudwright.model.objects import Object


def address_problems(text: str) -> list[str]:
    """Whether ``text`` is an IP address that an endpoint may have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if address.is_unspecified:
        return [f"may not be unspecified ({address})"]
    if address.is_loopback:
        return ["may not be in the loopback range (127.0.0.0/8, ::1/128)"]
    if address.is_link_local:
        return ["may not be in the link-local range (169.254.0.0/16, fe80::/10)"]
    if address.is_multicast and str(address).startswith(("224.0.0.", "ff02:")):
        return ["may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"]
    return []


def _defaults(endpoints: Object) -> None:
    for subset in members(endpoints, "subsets"):
        for port in members(subset, "ports"):
            port.setdefault("protocol", "TCP")


def _check(endpoints: Object, old: Object | None) -> list[FieldError]:
    found: list[FieldError] = []
    for index, subset in enumerate(members(endpoints, "subsets")):
        for kind in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(members(subset, kind)):
                path = f"subsets[{index}].{kind}[{at}].ip"
                ip = str(address.get("ip") or "")
                found += wrong(path, ip, address_problems(ip))
        for at, port in enumerate(members(subset, "ports")):
            path = f"subsets[{index}].ports[{at}].port"
            found += wrong(path, port.get("port"), names.port_problems(port.get("port")))
    return found


SPEC = KindSpec(resources.ENDPOINTS, _defaults, _check)
