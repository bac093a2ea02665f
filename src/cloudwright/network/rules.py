"""The nftables rule texts (pure): what ``nft -f -`` is given.

Each text replaces its table in one transaction, so that there is no moment without rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from cloudwright.network.config import NetworkConfig
from cloudwright.network.names import POD_INTERFACE, host_table

POD_TABLE = "cloudwright"


def _table(table: str, body: str) -> str:
    return f"table inet {table} {{\n{body}}}\n"


def _replace(table: str, body: str) -> str:
    """``table`` with ``body``, whether or not it was there."""
    return remove(table) + _table(table, body)


def remove(table: str) -> str:
    """Remove a table, whether or not it is there."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def pod(config: NetworkConfig, *, fresh: bool = False) -> str:
    """The table inside a pod: everything goes through the sidecar, nothing else comes in. Only
    the Kubernetes API is asked directly.

    ``fresh``: the namespace is new and has no table yet (replacing costs 15 ms more: the kernel
    waits until nobody can see the old rules).
    """
    ports, api = config.sidecar, ""
    if config.api is not None:
        door, node = config.api, config.node_address
        api = (
            f"\t\tip daddr {door.service} tcp dport {door.service_port} counter "
            f"dnat ip to {node}:{door.node_port}\n"
        )
    body = f"""\
	chain output {{
		type nat hook output priority -100; policy accept;
		meta skuid {ports.uid} return
{api}		udp dport 53 counter redirect to :{ports.dns}
		tcp dport 53 counter redirect to :{ports.dns}
		ip daddr 127.0.0.0/8 return
		ip6 daddr ::1 return
		meta l4proto tcp counter redirect to :{ports.outbound}
	}}
	chain prerouting {{
		type nat hook prerouting priority -100; policy accept;
		iifname "{POD_INTERFACE}" meta l4proto tcp counter redirect to :{ports.inbound}
	}}
	chain input {{
		type filter hook input priority 0; policy drop;
		iifname "lo" accept
		ct state established,related accept
		ip protocol icmp accept
		tcp dport {ports.inbound} accept
		counter
	}}
"""
    return _table(POD_TABLE, body) if fresh else _replace(POD_TABLE, body)


def host(config: NetworkConfig, egress: Iterable[IPv4Address]) -> str:
    """The host's table: pods reach each other, nothing on the machine, and the world only when
    they are in the ``egress`` set.
    """
    elements = ", ".join(str(ip) for ip in sorted(egress))
    filled = f"\n\t\telements = {{ {elements} }}" if elements else ""
    bridge, api = config.bridge, ""
    if config.api is not None:
        api = (
            f'\t\tiifname "{bridge}" ip daddr {config.node_address} '
            f"tcp dport {config.api.node_port} counter accept\n"
        )
    return _replace(
        host_table(bridge),
        f"""\
	comment "cloudwright:{config.instance}"
	set egress {{
		type ipv4_addr{filled}
	}}
	chain forward {{
		type filter hook forward priority 0; policy accept;
		iifname "{bridge}" oifname "{bridge}" accept
		iifname "{bridge}" ip saddr @egress counter accept
		iifname "{bridge}" counter drop
		oifname "{bridge}" ct state established,related accept
		oifname "{bridge}" counter drop
	}}
	chain input {{
		type filter hook input priority 0; policy accept;
		iifname "{bridge}" ct state established,related accept
		iifname "{bridge}" ip protocol icmp accept
{api}		iifname "{bridge}" counter drop
	}}
	chain postrouting {{
		type nat hook postrouting priority 100; policy accept;
		ip saddr @egress oifname != "{bridge}" counter masquerade
	}}
""",
    )


def grant_egress(bridge: str, ip: IPv4Address) -> str:
    """Let ``ip`` out of the machine."""
    return f"add element inet {host_table(bridge)} egress {{ {ip} }}\n"


def revoke_egress(bridge: str, ip: IPv4Address) -> str:
    """Let ``ip`` out no longer, whether or not it was allowed to."""
    return (
        grant_egress(bridge, ip) + f"delete element inet {host_table(bridge)} egress {{ {ip} }}\n"
    )
