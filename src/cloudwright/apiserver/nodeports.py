"""Hands out Services' node ports. Pure: what is taken is rebuilt from the store."""

from __future__ import annotations

FIRST, LAST = 30_000, 32_767
_DYNAMIC = 30_086
"""Below this, ports are given only to those who ask for them by number (upstream's static band)."""


class NodePorts:
    """Ports of the nodes; each is given to one holder at a time."""

    def __init__(self) -> None:
        self._holders: dict[int, str] = {}
        self._next = _DYNAMIC

    def problem(self, port: int, holder: str) -> str | None:
        """Why ``holder`` cannot have ``port``, or ``None`` when it can."""
        if not FIRST <= port <= LAST:
            return (
                "provided port is not in the valid range. "
                f"The range of valid ports is {FIRST}-{LAST}"
            )
        if self._holders.get(port, holder) != holder:
            return "provided port is already allocated"
        return None

    def held(self, port: int, holder: str) -> bool:
        """Whether ``holder`` has ``port``."""
        return self._holders.get(port) == holder

    def take(self, port: int, holder: str) -> None:
        """``holder`` (a Service's uid) has ``port`` from now on."""
        assert self.problem(port, holder) is None, "checked before"
        self._holders[port] = holder

    def allocate(self, holder: str) -> int | None:
        """A free port for ``holder``; ``None`` when there is none left."""
        size = LAST - FIRST + 1
        for offset in range(size):
            port = FIRST + (self._next - FIRST + offset) % size
            if port not in self._holders:
                self._next = port + 1
                self._holders[port] = holder
                return port
        return None

    def release(self, port: int, holder: str) -> None:
        """The port is free again, if ``holder`` had it."""
        if self._holders.get(port) == holder:
            del self._holders[port]

    def keep_only(self, ports: set[int], holder: str) -> None:
        """Whatever ``holder`` had beside ``ports`` is free again."""
        for port in [p for p, owner in self._holders.items() if owner == holder]:
            if port not in ports:
                del self._holders[port]

    def forget(self, holder: str) -> None:
        """Everything that ``holder`` had is free again."""
        for port in [port for port, owner in self._holders.items() if owner == holder]:
            del self._holders[port]
