"""Hands out Service addresses (ClusterIPs). Pure: what is taken is rebuilt from the store."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from cloudwright.apiserver.nodeports import NodePorts


class ClusterIPs:
    """The addresses of one IPv4 network; each is given to one holder at a time."""

    def __init__(self, cidr: str, reserved: Iterable[str] = ()) -> None:
        self.network = ipaddress.IPv4Network(cidr)
        self._holders: dict[str, str] = {}
        self._reserved = frozenset(reserved)
        self._next = 1
        self.node_ports = NodePorts()
        """The ports on nodes of the same Services."""

    def begin_at(self, index: int) -> None:
        """Hand out addresses from the one at ``index`` on: two API servers on one store begin far
        from each other.
        """
        self._next = index % self.network.num_addresses

    def problem(self, address: str, holder: str) -> str | None:
        """Why ``holder`` cannot have ``address``, or ``None`` when it can."""
        try:
            parsed = ipaddress.IPv4Address(address)
        except ValueError:
            return "must be an IPv4 address, None or empty"
        if parsed not in self.network:
            return "the provided network does not match the current range"
        if parsed in (self.network.network_address, self.network.broadcast_address):
            return "the network's first and last address cannot be used"
        if self._holders.get(address, holder) != holder:
            return "provided IP is already allocated"
        return None

    def take(self, address: str, holder: str) -> None:
        """``holder`` (a Service's uid) has ``address`` from now on."""
        assert self.problem(address, holder) is None, "checked before"
        self._holders[address] = holder

    def allocate(self, holder: str) -> str | None:
        """A free address for ``holder``; ``None`` when there is none left."""
        size = self.network.num_addresses
        for offset in range(size):
            index = (self._next + offset) % size
            if index in (0, size - 1):
                continue
            address = str(self.network[index])
            if address not in self._holders and address not in self._reserved:
                self._next = index + 1
                self._holders[address] = holder
                return address
        return None

    def release(self, address: str, holder: str) -> None:
        """The address is free again, if ``holder`` had it."""
        if self._holders.get(address) == holder:
            del self._holders[address]
