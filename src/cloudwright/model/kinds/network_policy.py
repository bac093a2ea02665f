"""NetworkPolicy: who may talk to a pod, and whom it may talk to."""

from __future__ import annotations

import ipaddress

from cloudwright.model import fields, names, resources
from cloudwright.model.fields import FieldError
from cloudwright.model.kinds import labels
from cloudwright.model.kinds.spec import KindSpec, mapping, members, one_of, wrong
from cloudwright.model.objects import Object

_PROTOCOLS, _TYPES = ("TCP", "UDP", "SCTP"), ("Ingress", "Egress")
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _defaults(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if members(spec, "egress") else ())]
    for direction in ("ingress", "egress"):
        for rule in members(spec, direction):
            for port in members(rule, "ports"):
                port.setdefault("protocol", "TCP")


def _check(policy: Object, _old: Object | None) -> list[FieldError]:
    spec = mapping(policy, "spec")
    found = labels.selector_errors(spec.get("podSelector"), "spec.podSelector")
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(members(spec, direction)):
            path = f"spec.{direction}[{index}]"
            for at, port in enumerate(members(rule, "ports")):
                found += _port_errors(port, f"{path}.ports[{at}]")
            for at, peer in enumerate(members(rule, side)):
                found += _peer_errors(peer, f"{path}.{side}[{at}]")
    types = members(spec, "policyTypes")
    if len(types) > len(_TYPES):
        message = "may not specify more than two policyTypes"
        return [*found, fields.invalid("spec.policyTypes", types, message)]
    for index, kind in enumerate(types):
        if kind not in _TYPES:
            found.append(fields.not_supported(f"spec.policyTypes[{index}]", kind, _TYPES))
    return found


def _port_errors(port: Object, path: str) -> list[FieldError]:
    found = one_of(port, path, "protocol", _PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            message = "may not be specified when `port` is not specified"
            found.append(fields.invalid(f"{path}.endPort", end, message))
    elif isinstance(number, str):
        if end is not None:
            message = "may not be specified when `port` is non-numeric"
            found.append(fields.invalid(f"{path}.endPort", end, message))
        found += wrong(f"{path}.port", number, names.port_name_problems(number))
    else:
        found += wrong(f"{path}.port", number, names.port_problems(number))
        if end is not None:
            if end < number:
                message = "must be greater than or equal to `port`"
                found.append(fields.invalid(f"{path}.endPort", number, message))
            found += wrong(f"{path}.endPort", end, names.port_problems(end))
    return found


def _peer_errors(peer: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key in ("podSelector", "namespaceSelector"):
        found += labels.selector_errors(peer.get(key), f"{path}.{key}")
    block = peer.get("ipBlock")
    if block is not None:
        found += _block_errors(block, f"{path}.ipBlock")
    given = [peer.get(key) for key in ("podSelector", "namespaceSelector", "ipBlock")]
    count = sum(one is not None for one in given)
    if count == 0:
        found.append(fields.required(path, "must specify a peer"))
    elif count > 1 and block is not None:
        message = "may not specify both ipBlock and another peer"
        found.append(fields.forbidden(path, message))
    return found


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _block_errors(block: Object, path: str) -> list[FieldError]:
    cidr = str(block.get("cidr") or "")
    if not cidr:
        return [fields.required(f"{path}.cidr")]
    whole = _network(cidr)
    if whole is None:
        return [fields.invalid(f"{path}.cidr", cidr, _CIDR)]
    found: list[FieldError] = []
    for index, text in enumerate(members(block, "except")):
        where, part = f"{path}.except[{index}]", _network(str(text))
        if part is None:
            found.append(fields.invalid(where, text, _CIDR))
        elif not _inside(part, whole):
            found.append(fields.invalid(where, text, "must be a strict subset of `cidr`"))
    return found


def _inside(part: Network, whole: Network) -> bool:
    return (
        part.version == whole.version
        and part.prefixlen > whole.prefixlen
        and part.network_address in whole
    )


SPEC = KindSpec(resources.NETWORK_POLICY, _defaults, _check)
