"""Decisions of the pod network (pure): which address a pod gets, what a pod's kernel objects should
be, and which of those that exist belong to nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from cloudwright.network import names
from cloudwright.network.config import NetworkConfig
from cloudwright.network.errors import AddressesExhaustedError


@dataclass(frozen=True, slots=True)
class Lease:
    """An address that a pod holds."""

    pod_uid: str
    ip: IPv4Address
    namespace: str
    name: str
    egress: bool


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod's kernel objects as they should be."""

    pod_uid: str
    netns: str
    """The namespace's name below the namespace directory."""
    veth: str
    alias: str
    ip: IPv4Address
    prefix: int
    gateway: IPv4Address
    mac: bytes


def choose_address(
    pool: IPv4Network,
    leased: Collection[IPv4Address],
    released: Mapping[IPv4Address, float],
    now: float,
    cooldown: float,
) -> IPv4Address:
    """The free address that was unused for longest; never-used ones come first, in order.

    ``released`` maps addresses to when they were given back, in seconds on the clock of ``now``.

    Raises:
        AddressesExhaustedError: all are held, or were given back less than ``cooldown`` ago.
    """
    first, last = int(pool[2]), int(pool[-2])
    for number in range(first, last + 1):
        ip = IPv4Address(number)
        if ip not in leased and ip not in released:
            return ip
    cooled = [
        (since, ip)
        for ip, since in released.items()
        if ip not in leased and first <= int(ip) <= last and now - since >= cooldown
    ]
    if cooled:
        return min(cooled)[1]
    cooling = [since for ip, since in released.items() if ip not in leased]
    wait = f"; {len(cooling)} more get free within {cooldown:g} s" if cooling else ""
    raise AddressesExhaustedError(
        f"no address of {pool} is free: pods hold {len(leased)} of {last - first + 1}{wait}",
        hint="delete pods, or give the platform a larger pod range",
    )


def plan_pod(config: NetworkConfig, lease: Lease) -> PodPlan:
    """The kernel objects for ``lease``."""
    return PodPlan(
        pod_uid=lease.pod_uid,
        netns=names.netns_name(config.instance, lease.pod_uid),
        veth=names.veth_name(config.instance, lease.pod_uid),
        alias=names.veth_alias(config.instance, lease.pod_uid),
        ip=lease.ip,
        prefix=config.pod_cidr.prefixlen,
        gateway=config.node_address,
        mac=names.pod_mac(lease.ip),
    )


@dataclass(frozen=True, slots=True)
class Orphans:
    """What exists and belongs to no pod: pods' leases, links and namespaces by name."""

    leases: tuple[str, ...]
    veths: tuple[str, ...]
    namespaces: tuple[str, ...]


def find_orphans(
    instance: str,
    known_uids: Collection[str],
    leases: Iterable[Lease],
    veths: Iterable[tuple[str, str]],
    namespaces: Iterable[str],
) -> Orphans:
    """Ours (by alias or name) among ``veths`` (name, alias) and ``namespaces``, of no known pod."""
    kept_names = {names.netns_name(instance, uid) for uid in known_uids}
    kept_veths = {names.veth_name(instance, uid) for uid in known_uids}
    prefix = names.netns_prefix(instance)

    def ours(name: str, alias: str) -> bool:
        owner = names.alias_owner(alias)
        if owner is None:  # made, but not yet named when the daemon died
            return alias == "" and _looks_like_veth(name, instance)
        return owner[0] == instance and owner[1] != ""

    return Orphans(
        leases=tuple(sorted(le.pod_uid for le in leases if le.pod_uid not in known_uids)),
        veths=tuple(sorted(n for n, a in veths if ours(n, a) and n not in kept_veths)),
        namespaces=tuple(
            sorted(n for n in namespaces if n.startswith(prefix) and n not in kept_names)
        ),
    )


def _looks_like_veth(name: str, instance: str) -> bool:
    digits = name.removeprefix("cw")
    return len(name) == 13 and digits != name and digits[8:] == instance[:3] and _is_hex(digits)


def _is_hex(text: str) -> bool:
    return all(c in "0123456789abcdef" for c in text)


def conflicting_route(
    pool: IPv4Network, bridge: str, routes: Iterable[tuple[IPv4Network, str]]
) -> tuple[IPv4Network, str] | None:
    """The first route (range, device) of another device that overlaps ``pool``; the default route
    does not count.
    """
    for network, device in routes:
        if network.prefixlen and device != bridge and network.overlaps(pool):
            return network, device
    return None
