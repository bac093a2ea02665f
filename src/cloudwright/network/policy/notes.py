"""What a policy asks that cannot happen on this network, for an event on it (pure)."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network

from cloudwright.model.objects import Object


def useless(policy: Object) -> list[tuple[str, str]]:
    """Reasons and messages, without repeats."""
    spec, found = policy.get("spec") or {}, dict[str, str]()
    for direction, side in (("ingress", "from"), ("egress", "to")):
        carried = {"TCP"} if direction == "ingress" else {"TCP", "UDP"}
        for rule in spec.get(direction) or ():
            asked = {str(port.get("protocol") or "TCP") for port in rule.get("ports") or ()}
            for protocol in sorted(asked - carried):
                found[f"{protocol} {direction}"] = (
                    f"{direction} over {protocol} stays closed: "
                    f"the pod network carries only {' and '.join(sorted(carried))} there"
                )
            for peer in rule.get(side) or ():
                cidr = (peer.get("ipBlock") or {}).get("cidr")
                if cidr and isinstance(ip_network(cidr, strict=False), IPv6Network):
                    found[cidr] = f"the block {cidr} matches nothing: pods have IPv4 addresses only"
    return [("NotCarried", text) for text in found.values()]
