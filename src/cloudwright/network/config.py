"""The pod network's configuration: ranges, names, ports."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cloudwright._base.paths import Paths
from cloudwright.network.errors import NetworkConfigError

POD_CIDR = IPv4Network("10.244.0.0/24")
SERVICE_CIDR = IPv4Network("10.96.0.0/16")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")
_INSTANCE = re.compile(r"[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class SidecarPorts:
    """Where a pod's sidecar listens, and as whom it runs."""

    inbound: int = 15006
    outbound: int = 15001
    dns: int = 15053
    uid: int = 1337


@dataclass(frozen=True, slots=True)
class ApiDoor:
    """Where pods find the Kubernetes API: what they ask for, and where it listens on the node.

    Its traffic does not pass through sidecars: it has TLS and credentials of its own.
    """

    service: IPv4Address
    service_port: int
    node_port: int
    """On ``NetworkConfig.node_address``."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """One machine's pod network. ``store`` is the file that keeps the address leases.

    Raises:
        NetworkConfigError: a range, name or port makes no sense; the message names the field.
    """

    instance: str
    store: Path
    bridge: str = "cw0"
    pod_cidr: IPv4Network = POD_CIDR
    service_cidr: IPv4Network = SERVICE_CIDR
    cooldown_seconds: float = 30.0
    """How long a released address stays unused."""
    mtu: int = 1500
    netns_dir: Path = Path("/run/netns")
    sidecar: SidecarPorts = field(default_factory=SidecarPorts)
    api: ApiDoor | None = None
    """``None``: pods do not reach the API."""
    nft: str = "nft"
    """The program that loads packet rules."""

    def __post_init__(self) -> None:
        problems = (
            (not _INSTANCE.fullmatch(self.instance), "instance", "six hex digits"),
            (
                not _INTERFACE.fullmatch(self.bridge),
                "bridge",
                "an interface name (≤ 15 characters)",
            ),
            (self.pod_cidr.prefixlen > 29, "pod_cidr", "room for pods: a prefix of /29 or shorter"),
            (self.pod_cidr.prefixlen < 12, "pod_cidr", "a prefix of /12 or longer"),
            (self.pod_cidr.overlaps(self.service_cidr), "pod_cidr", "apart from service_cidr"),
            (self.cooldown_seconds < 0, "cooldown_seconds", "0 or more"),
            (not 576 <= self.mtu <= 65535, "mtu", "between 576 and 65535"),
        )
        for wrong, name, wanted in problems:
            if wrong:
                raise NetworkConfigError(
                    f"network.{name}: {getattr(self, name)} is not usable, it must be {wanted}"
                )

    @classmethod
    def for_paths(cls, paths: Paths) -> NetworkConfig:
        """The defaults for the platform instance at ``paths``."""
        return cls(instance=paths.instance, store=paths.state / "network" / "leases.db")

    @property
    def node_address(self) -> IPv4Address:
        """The machine's own address on the bridge: the first of the pod range."""
        return self.pod_cidr[1]


def parse_range(text: str, name: str = "pod_cidr") -> IPv4Network:
    """An IPv4 range such as ``10.244.0.0/24``.

    Raises:
        NetworkConfigError: it is not one, or has bits set behind the prefix.
    """
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise NetworkConfigError(
            f"network.{name}: {text!r} is not an IPv4 range",
            cause=str(error),
            hint="write it like 10.244.0.0/24",
        ) from None
