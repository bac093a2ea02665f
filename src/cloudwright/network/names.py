"""What our kernel objects are called, so that whatever a crash left is found again (pure)."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address

ALIAS_PREFIX = "cloudwright:"
POD_INTERFACE = "eth0"


def short(pod_uid: str) -> str:
    """The first eight hex digits of SHA-256 of the pod's uid."""
    return hashlib.sha256(pod_uid.encode()).hexdigest()[:8]


def netns_name(instance: str, pod_uid: str) -> str:
    """The file below ``/run/netns``: ``cw-INST-SHORT``."""
    return f"{netns_prefix(instance)}{short(pod_uid)}"


def netns_prefix(instance: str) -> str:
    """What the names of all of an instance's network namespaces begin with."""
    return f"cw-{instance}-"


def veth_name(instance: str, pod_uid: str) -> str:
    """The host side of the pod's veth pair: ``cwSHORT`` and the instance's first three digits."""
    return f"cw{short(pod_uid)}{instance[:3]}"


def bridge_alias(instance: str) -> str:
    """The alias that says whose bridge it is."""
    return f"{ALIAS_PREFIX}{instance}"


def veth_alias(instance: str, pod_uid: str) -> str:
    """The alias that says whose veth it is, and for which pod."""
    return f"{ALIAS_PREFIX}{instance}:{pod_uid}"


def alias_owner(alias: str) -> tuple[str, str] | None:
    """``(instance, pod uid or "")`` of an alias of ours (any instance's); ``None`` for others."""
    if not alias.startswith(ALIAS_PREFIX):
        return None
    instance, _, pod_uid = alias.removeprefix(ALIAS_PREFIX).partition(":")
    return instance, pod_uid


def host_table(bridge: str) -> str:
    """The host's nftables table for ``bridge``: ``cloudwright`` for the default one, so that two
    instances in one network namespace (they need two bridges) have a table each.
    """
    return "cloudwright" if bridge == "cw0" else f"cloudwright_{bridge}"


def pod_mac(ip: IPv4Address) -> bytes:
    """A locally administered hardware address derived from ``ip``: an address that is used again
    never meets a stale neighbour entry.
    """
    return b"\x0a\x58" + ip.packed


def bridge_mac(instance: str) -> bytes:
    """The bridge's own hardware address: fixed, or it would change with each port that comes."""
    return b"\x0a\x57" + hashlib.sha256(instance.encode()).digest()[:4]
