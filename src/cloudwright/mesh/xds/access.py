"""Who may be which node of the mesh; pure. What is not allowed here is refused."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cloudwright._base.errors import NotAllowedError
from cloudwright.mesh.config import GATEWAY, SYSTEM_NAMESPACE, MeshConfig
from cloudwright.mesh.xds.source import ROLES, Node, Peer

_ID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,252}")
_MOST_ADDRESSES = 16
Bootstrap = Callable[[str], Mapping[str, Any] | None]
"""The bootstrap file of an enrolled proxy, by its id."""


def admit(config: MeshConfig, enrolled: Bootstrap, peer: Peer, node: Node) -> Node:
    """The node that ``peer`` may be, with the identity whose secrets it gets.

    Over a Unix socket (root) a client may be any node. With a certificate of the mesh: the
    gateway's identity may be the gateway; a sidecar's may be the proxies that were enrolled with
    it; any may be a gRPC client, which gets no secrets.

    Raises:
        NotAllowedError: it may not be what it says.
    """
    if peer.kind == "loopback":
        raise NotAllowedError("the mesh's resources are served over mTLS and Unix sockets only")
    if peer.kind == "mtls" and not peer.identity:
        raise NotAllowedError("the client's certificate has no SPIFFE identity")
    bootstrap = enrolled(node.id) if _ID.fullmatch(node.id) else None
    role = node.role
    if not role:
        role = "gateway" if node.id == GATEWAY else "sidecar"
    if role == "gateway":
        identity = config.identity(SYSTEM_NAMESPACE, GATEWAY)
    elif role == "sidecar":
        if bootstrap is None or bootstrap.get("role") != "sidecar":
            raise NotAllowedError(
                f"node.id: no sidecar {node.id!r} is enrolled",
                hint=f"node.metadata.role is one of {', '.join(ROLES)}",
            )
        identity = str(bootstrap["identity"])
    else:
        return replace(node, role=role, identity=peer.identity)
    if peer.kind == "mtls" and peer.identity != identity:
        raise NotAllowedError(f"{peer.identity} may not be {role} {node.id!r} ({identity})")
    return replace(node, role=role, identity=identity)


def addresses(node: Node, key: str, usual: Sequence[str]) -> tuple[str, ...]:
    """The ``IP:PORT``s that a gateway wants to listen on: ``node.metadata.http`` or ``.https``.

    Raises:
        NotAllowedError: that is no list of addresses.
    """
    given = node.metadata.get(key)
    if given is None:
        return tuple(usual)
    wrong = NotAllowedError(
        f"node.metadata.{key}: must be a list of IP:PORT, not {str(given)[:100]!r}"
    )
    if not isinstance(given, list) or len(given) > _MOST_ADDRESSES:
        raise wrong
    for text in given:
        host, _, port = str(text).rpartition(":")
        try:
            ipaddress.ip_address(host.strip("[]"))
            if not 0 <= int(port) <= 65535:
                raise wrong
        except ValueError:
            raise wrong from None
    return tuple(str(text) for text in given)
