"""One gRPC stream: requests into the engine, its responses out, until the client goes."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import anyio
import grpc
from envoy.service.discovery.v3 import discovery_pb2 as pb
from google.protobuf.json_format import MessageToDict

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, NotAllowedError
from cloudwright.mesh import vitals
from cloudwright.mesh.xds import delta, sotw
from cloudwright.mesh.xds.cache import View
from cloudwright.mesh.xds.engine import Heard
from cloudwright.mesh.xds.source import ROLES, Node, Peer, Source
from cloudwright.mesh.xds.status import Connection, Registry
from cloudwright.mesh.xds.types import SHORT

_log = logs.get("mesh.xds")
HOLD_SECONDS = 2.0
"""How long listeners and routes wait for a client to take what they need."""
MOST_NAMES = 200_000


class Stream:
    """One stream; ``url`` is the type of a single-type service, empty for ADS."""

    def __init__(self, source: Source, registry: Registry, peer: Peer, url: str) -> None:
        self._source = source
        self._registry = registry
        self._peer = peer
        self._url = url
        self._wake = anyio.Event()
        self._changed = False
        self._ended = False
        self._fault: tuple[grpc.StatusCode, str] | None = None

    def _stir(self) -> None:
        self._wake.set()

    def _stale(self) -> None:
        self._changed = True
        self._wake.set()

    async def serve(self, context: Any, *, incremental: bool) -> None:
        """Speak until the client ends the stream, or breaks the protocol."""
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        try:
            node = self._source.admit(self._peer, node_of(first.node))
        except NotAllowedError as error:
            vitals.XDS_REFUSED.inc()
            _log.warning(
                "an xDS client is refused",
                extra={"peer": str(self._peer), "node": first.node.id, "why": error.message},
            )
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, error.message)
        end = self._source.listen(self._stale)
        connection: Connection | None = None
        try:
            view = await self._view(node)
            if view is None:
                return  # the finally below says why
            kind = delta.Delta if incremental else sotw.Sotw
            engine = kind(view, ordered=not self._url)
            variant = ("delta" if incremental else "sotw") + ("" if self._url else " ADS")
            connection = Connection(self._peer, node, engine, variant)
            self._registry.add(connection)
            self._hear(connection, first)
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, connection, context)
                await self._write(connection, context)
                group.cancel_scope.cancel()
        finally:
            end()
            if connection is not None:
                self._registry.remove(connection)
            if self._fault is not None:
                await context.abort(*self._fault)

    async def _view(self, node: Node) -> View | None:
        """What the node is told now; ``None``, and a fault, when that is nothing any more."""
        try:
            return await self._source.view(node)
        except NotAllowedError as error:
            vitals.XDS_REFUSED.inc()
            self._fault = (grpc.StatusCode.PERMISSION_DENIED, error.message)
        except (CloudwrightError, OSError) as error:
            _log.error("no resources for an xDS client", extra={"node": node.id, "why": str(error)})
            self._fault = (grpc.StatusCode.UNAVAILABLE, str(error))
        return None

    async def _read(self, connection: Connection, context: Any) -> None:
        while self._fault is None:
            request = await context.read()
            if request is grpc.aio.EOF:
                break
            self._hear(connection, request)
        self._ended = True
        self._stir()

    def _hear(self, connection: Connection, request: Any) -> None:
        url = request.type_url or self._url
        if self._url and url != self._url:
            text = f"this service has {self._url}, not {url}"
            self._fault = (grpc.StatusCode.INVALID_ARGUMENT, text)
        elif url not in SHORT:
            # Asking for what a server does not know is allowed; it has none of it.
            _log.info("an unknown type is asked for", extra={"type": url[:200]})
        else:
            self._note(connection, url, self._request(connection, url, request))
            if len(connection.engine.types[url].names) > MOST_NAMES:
                text = f"more than {MOST_NAMES} names of one type"
                self._fault = (grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._stir()

    @staticmethod
    def _request(connection: Connection, url: str, request: Any) -> Heard:
        error = request.error_detail.message or "no reason given"
        refused = error if request.HasField("error_detail") else None
        engine = connection.engine
        if isinstance(engine, delta.Delta):
            asked = delta.Request(
                url,
                list(request.resource_names_subscribe),
                list(request.resource_names_unsubscribe),
                dict(request.initial_resource_versions),
                request.response_nonce,
                refused,
            )
            return engine.request(asked, monotonic())
        assert isinstance(engine, sotw.Sotw)
        names, nonce = list(request.resource_names), request.response_nonce
        said = sotw.Request(url, names, request.version_info, nonce, refused)
        return engine.request(said, monotonic())

    def _note(self, connection: Connection, url: str, heard: Heard) -> None:
        kind = SHORT[url]
        if heard.kind == "ack":
            vitals.XDS_ACKS.labels(kind).inc()
            vitals.XDS_ACK_SECONDS.labels(kind).observe(heard.seconds)
        elif heard.kind == "nack":
            vitals.XDS_NACKS.labels(kind).inc()
            refusal = connection.engine.types[url].refusal
            _log.warning(
                "an xDS client refused %s and keeps the old ones",
                kind,
                extra={
                    "node": connection.node.id,
                    "why": refusal.message[:1000] if refusal else "",
                    "version": refusal.version if refusal else "",
                },
            )

    async def _write(self, connection: Connection, context: Any) -> None:
        """The only writer: what changes while a response is on its way goes into the next."""
        engine = connection.engine
        while not self._ended and self._fault is None:
            self._wake = anyio.Event()
            if self._changed:
                self._changed = False
                view = await self._view(connection.node)
                if view is None:
                    return
                engine.look(view)
            while not self._changed and (response := engine.next(monotonic())) is not None:
                vitals.XDS_PUSHES.labels(SHORT[response.url]).inc()
                await context.write(response.payload)
            if self._changed:
                continue
            with anyio.move_on_after(HOLD_SECONDS if engine.held else None) as waiting:
                await self._wake.wait()
            if waiting.cancelled_caught:
                engine.release()


async def fetch(source: Source, peer: Peer, url: str, request: Any, context: Any) -> bytes:
    """The unary form: everything that is asked for, at once."""
    if request.type_url and request.type_url != url:
        text = f"this service has {url}, not {request.type_url}"
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
    try:
        node = source.admit(peer, node_of(request.node))
    except NotAllowedError as error:
        vitals.XDS_REFUSED.inc()
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, error.message)
    try:
        engine = sotw.Sotw(await source.view(node), ordered=False)
    except CloudwrightError as error:
        await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)
    engine.request(sotw.Request(url, list(request.resource_names)), monotonic())
    response = engine.next(monotonic())
    if response is None:
        return bytes(pb.DiscoveryResponse(type_url=url).SerializeToString())
    return response.payload


def node_of(message: Any) -> Node:
    """A client's own words about itself."""
    metadata: Mapping[str, Any] = MessageToDict(message.metadata)
    said = str(metadata.get("role", ""))
    role = next((one for one in ROLES if one == said), "")
    agent = f"{message.user_agent_name} {message.user_agent_version}".strip()
    return Node(message.id, message.cluster, role, "", metadata, agent)  # type: ignore[arg-type]
