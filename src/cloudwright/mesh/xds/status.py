"""Who is connected and what each has: metrics, and ``ClientStatusDiscoveryService`` (CSDS)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from envoy.service.status.v3 import csds_pb2

from cloudwright.mesh import vitals
from cloudwright.mesh.xds.engine import Engine
from cloudwright.mesh.xds.source import Node, Peer
from cloudwright.mesh.xds.state import TypeState
from cloudwright.mesh.xds.types import SECRET, SHORT

_S = csds_pb2.ConfigStatus.Value


@dataclass(slots=True, eq=False)
class Connection:
    """One stream of one client."""

    peer: Peer
    node: Node
    engine: Engine
    variant: str
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


class Registry:
    """All streams that are open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()

    def __iter__(self) -> Iterator[Connection]:
        return iter(sorted(self._open, key=lambda one: (one.node.id, one.since)))

    def add(self, connection: Connection) -> None:
        """A stream has begun."""
        self._open.add(connection)
        vitals.XDS_CLIENTS.labels(connection.node.role or "any").inc()

    def remove(self, connection: Connection) -> None:
        """It has ended."""
        self._open.discard(connection)
        vitals.XDS_CLIENTS.labels(connection.node.role or "any").dec()

    def summary(self) -> list[dict[str, Any]]:
        """What each client has, by type, as JSON."""
        return [
            {
                "node": one.node.id,
                "role": one.node.role,
                "peer": str(one.peer),
                "agent": one.node.agent,
                "variant": one.variant,
                "since": one.since.isoformat(timespec="seconds"),
                "types": {SHORT[s.url]: _summary(s) for s in one.engine.types.values()},
            }
            for one in self
        ]


def _summary(state: TypeState) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resources": len(state.has),
        "acked": state.acked,
        "offered": state.seen.version,
        "in_flight": state.flight is not None,
    }
    if state.refusal is not None:
        refusal = state.refusal
        found["refused"] = {
            "message": refusal.message,
            "version": refusal.version,
            "resources": sorted(state.rejected or refusal.names)[:20],
        }
    return found


def client_status(connections: Iterable[Connection]) -> csds_pb2.ClientStatusResponse:
    """The answer of CSDS. The content of secrets is never in it."""
    response = csds_pb2.ClientStatusResponse()
    for connection in connections:
        config = response.config.add()
        node = connection.node
        config.node.id, config.node.cluster = node.id, node.cluster
        config.node.user_agent_name = node.agent
        config.client_scope = connection.variant
        for state in connection.engine.types.values():
            _resources(config, state)
    return response


def _resources(config: Any, state: TypeState) -> None:
    flying = state.flight.changes if state.flight else {}
    wanted = state.seen.resources if state.wildcard else {n: None for n in state.names}
    for name in sorted({*wanted, *state.has, *state.rejected}):
        offered, has = state.seen.get(name), state.has.get(name)
        entry = config.generic_xds_configs.add(type_url=state.url, name=name)
        shown = has or offered
        entry.version_info = has.version if has else ""
        if shown and shown.any and state.url != SECRET:
            entry.xds_config.ParseFromString(shown.any)
        if name in state.rejected:
            entry.config_status = _S("ERROR")
            if state.refusal:
                entry.error_state.details = state.refusal.message
            entry.error_state.version_info = state.rejected[name]
        elif offered is None and has is None:
            entry.config_status = _S("UNKNOWN")
        elif name in flying:
            entry.config_status = _S("STALE")
        elif has is None or (offered and offered.version != has.version):
            entry.config_status = _S("NOT_SENT")
        else:
            entry.config_status = _S("SYNCED")
