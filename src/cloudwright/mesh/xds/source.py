"""Where resources come from, and who may have which: what a server needs of a ``Source``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from cloudwright.mesh.xds.cache import View

Role = Literal["gateway", "sidecar", "grpc", ""]
ROLES: tuple[Role, ...] = ("gateway", "sidecar", "grpc")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, as the transport proves it."""

    kind: Literal["unix", "loopback", "mtls"]
    """``unix``: a user who may open the socket (0600: ours, or root); ``loopback``: anybody on
    this machine; ``mtls``: who holds the key of ``identity``."""
    identity: str = ""
    """The SPIFFE URI of the client's certificate."""

    def __str__(self) -> str:
        return self.identity or self.kind


@dataclass(frozen=True, slots=True)
class Node:
    """An xDS client, as it describes itself; after ``Source.admit``, as it may be."""

    id: str
    cluster: str = ""
    role: Role = ""
    identity: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    agent: str = ""
    """Name and version of its program."""


class Source(Protocol):
    """Resources by node."""

    def admit(self, peer: Peer, node: Node) -> Node:
        """The node that ``peer`` may be.

        Raises:
            NotAllowedError: it may not be what it says; the message says why.
        """

    async def view(self, node: Node) -> View:
        """What an admitted node is told now. Equal types are the same object as before."""

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` when a view may have changed; the result ends that."""
