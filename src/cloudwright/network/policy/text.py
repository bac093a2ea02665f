"""A pod's policy as an nftables table of its own namespace (pure).

What the connection's opener sends is judged, packet by packet, so that a change also ends
connections that are no longer allowed (proxies keep theirs for long); answers always pass. Ingress
is judged before the redirection to the sidecar, egress after the one that leads there: in both
places addresses and port are those of the real peers.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from itertools import groupby

from cloudwright.network import rules
from cloudwright.network.names import POD_INTERFACE
from cloudwright.network.policy.engine import LAST_PORT, OPEN, Permit, PodRules, Port

TABLE = "cloudwright_policy"
_HEAD = """\
		ct direction reply accept
		ct state related accept
		ct state established tcp flags & rst == rst accept
"""
_REST = """\
		meta l4proto tcp counter reject with tcp reset
		counter reject with icmpx admin-prohibited
"""


def table(found: PodRules, pod: IPv4Address, node: IPv4Address) -> str:
    """The table, or nothing for a pod that is open. The node and the pod itself always pass."""
    if found == OPEN:
        return ""
    chains = ""
    if found.ingress is not None:
        chains += (
            "\tchain ingress {\n"
            "\t\ttype filter hook prerouting priority -150; policy accept;\n"
            f'\t\tiifname != "{POD_INTERFACE}" accept\n'
            f"\t\tip saddr {{ {node}, {pod} }} accept\n"
            f"{_HEAD}{_permits(found.ingress, 'saddr')}{_REST}\t}}\n"
        )
    if found.egress is not None:
        chains += (
            "\tchain egress {\n"
            "\t\ttype filter hook output priority 0; policy accept;\n"
            "\t\tip6 daddr ::1 accept\n"
            f"\t\tip daddr {{ 127.0.0.0/8, {node}, {pod} }} accept\n"
            f"{_HEAD}{_permits(found.egress, 'daddr')}{_REST}\t}}\n"
        )
    return f"table inet {TABLE} {{\n{chains}}}\n"


def replacing(text: str) -> str:
    """Put ``text`` in the place of the table, whether or not it was there, in one transaction."""
    return rules.remove(TABLE) + text


def _permits(permits: Iterable[Permit], side: str) -> str:
    lines = ""
    for permit in permits:
        peers = _peers(permit.peers, side)
        if permit.ports is None:
            lines += f"\t\t{peers}accept\n"
            continue
        for protocol, ranges in groupby(permit.ports, key=lambda port: port[0]):
            lines += f"\t\t{peers}meta l4proto {protocol} {_ports(list(ranges))}accept\n"
    return lines


def _peers(peers: tuple[IPv4Network, ...] | None, side: str) -> str:
    if peers is None:
        return ""
    if any(peer.prefixlen == 0 for peer in peers):
        return "meta nfproto ipv4 "
    texts = (str(p.network_address) if p.prefixlen == 32 else str(p) for p in peers)
    return f"ip {side} {{ {', '.join(texts)} }} "


def _ports(ranges: list[Port]) -> str:
    if any(first <= 1 and last == LAST_PORT for _, first, last in ranges):
        return ""
    texts = (f"{a}" if a == b else f"{a}-{b}" for _, a, b in ranges)
    return f"th dport {{ {', '.join(texts)} }} "
