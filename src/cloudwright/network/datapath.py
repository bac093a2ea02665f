"""The seam between "which pod has which address" and how packets get there.

The bridge is the one datapath today; an eBPF one would implement the same few verbs. All of them
block and run in worker threads; each is idempotent and repairs what a crash left half-made.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address
from typing import Protocol

from cloudwright.network.engine import PodPlan


class Datapath(Protocol):
    """Makes and removes the kernel's side of the pod network."""

    def start(self, egress: Collection[IPv4Address]) -> None:
        """Make what all pods share; ``egress`` are the addresses that may leave the machine."""

    def attach(self, plan: PodPlan, policy: str = "") -> None:
        """Make a pod's namespace, link, address and rules as planned; ``policy`` is the table of
        its NetworkPolicies, there before the link.
        """

    def detach(self, plan: PodPlan) -> None:
        """Remove all of it; what is missing is fine."""

    def allow_egress(self, ip: IPv4Address) -> None:
        """Let ``ip`` out of the machine."""

    def deny_egress(self, ip: IPv4Address) -> None:
        """Let ``ip`` out no longer; that it was not allowed to is fine."""

    def exists(self, plan: PodPlan) -> bool:
        """Whether anything of the pod exists, if only half-made."""

    def links(self) -> list[tuple[str, str]]:
        """``(name, alias)`` of every pod link that could be ours."""

    def namespaces(self) -> list[str]:
        """Names of this instance's namespaces."""

    def discard(self, veths: Collection[str], namespaces: Collection[str]) -> None:
        """Remove links and namespaces by name."""

    def stop(self) -> None:
        """Remove what ``start`` made."""
