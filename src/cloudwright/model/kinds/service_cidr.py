"""ServiceCIDR and IPAddress: the networks of Services, and who has which address."""

from __future__ import annotations

import ipaddress

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds.spec import KindSpec, mapping, members, unchanged
from cloudwright.model.objects import Object


def _check(cidr: Object, old: Object | None) -> list[FieldError]:
    spec = mapping(cidr, "spec")
    if old is not None:
        return unchanged(spec, mapping(old, "spec"), "spec", "cidrs")
    cidrs, path = members(spec, "cidrs"), "spec.cidrs"
    if not cidrs:
        return [fields.required(path, "at least one CIDR required")]
    if len(cidrs) > 2:
        message = "may only hold up to 2 values"
        return [fields.invalid(path, cidrs, message)]
    found: list[FieldError] = []
    families: set[int] = set()
    for index, text in enumerate(cidrs):
        where = f"{path}[{index}]"
        try:
            network = ipaddress.ip_network(str(text))
        except ValueError:
            message = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            found.append(fields.invalid(where, text, message))
            continue
        if network.version in families:
            message = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
            found.append(fields.invalid(path, cidrs, f"{message}2001:db8::/64"))
        families.add(network.version)
    return found


def _check_address(address: Object, old: Object | None) -> list[FieldError]:
    reference = mapping(address, "spec").get("parentRef")
    if reference is None:
        found = [fields.required("spec.parentRef")]
    else:
        found = [
            fields.required(f"spec.parentRef.{key}")
            for key in ("resource", "name")
            if not reference.get(key)
        ]
    spec = mapping(address, "spec")
    found += unchanged(spec, old and mapping(old, "spec"), "spec", "parentRef")
    return found


def _address_problems(text: str) -> list[str]:
    try:
        ok = str(ipaddress.ip_address(text)) == text
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if ok else ["must be in canonical form"]


SPEC = KindSpec(
    resources.SERVICE_CIDR,
    check=_check,
    initial_status=lambda _cidr: {},
    name_problems=names.dns_subdomain_problems,
)
ADDRESS = KindSpec(resources.IP_ADDRESS, check=_check_address, name_problems=_address_problems)
