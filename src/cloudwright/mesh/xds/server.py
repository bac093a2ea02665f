"""The gRPC server: ADS, the single-type services, CSDS; on Unix sockets and TCP."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import grpc
from envoy.service.discovery.v3 import discovery_pb2 as pb
from envoy.service.status.v3 import csds_pb2

from cloudwright._base import logs
from cloudwright._base.errors import ConflictError, UsageError
from cloudwright.mesh.xds import stream
from cloudwright.mesh.xds.listening import Listen, Tls, identity_in
from cloudwright.mesh.xds.source import Peer, Source
from cloudwright.mesh.xds.status import Registry, client_status
from cloudwright.mesh.xds.types import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    ROUTE,
    RUNTIME,
    SCOPED_ROUTE,
    SECRET,
)

_log = logs.get("mesh.xds")
_SERVICES = {
    "listener.v3.ListenerDiscoveryService": ("Listeners", LISTENER),
    "route.v3.RouteDiscoveryService": ("Routes", ROUTE),
    "route.v3.ScopedRoutesDiscoveryService": ("ScopedRoutes", SCOPED_ROUTE),
    "cluster.v3.ClusterDiscoveryService": ("Clusters", CLUSTER),
    "endpoint.v3.EndpointDiscoveryService": ("Endpoints", ENDPOINT),
    "secret.v3.SecretDiscoveryService": ("Secrets", SECRET),
    "extension.v3.ExtensionConfigDiscoveryService": ("ExtensionConfigs", EXTENSION),
    "runtime.v3.RuntimeDiscoveryService": ("Runtime", RUNTIME),
}
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 1000),
)
_AGING = (
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 5_000),
)
"""A certificate is looked at when a connection begins: none of them lives for ever."""


@dataclass(slots=True)
class Serving:
    """A server that runs: its streams, and the port of each TCP address (0 for sockets)."""

    registry: Registry
    ports: list[int]


@asynccontextmanager
async def serving(source: Source, listens: Sequence[Listen]) -> AsyncIterator[Serving]:
    """Serve ``source`` as long as the block runs.

    Raises:
        ConflictError: an address is taken.
        UsageError: a certificate cannot be used.
    """
    servers: list[tuple[Any, Path | None]] = []
    registry, ports = Registry(), []
    try:
        for listen in listens:
            made, port = _bind(source, registry, listen)
            servers.append((made, listen.path))
            ports.append(port)
            await made.start()
        yield Serving(registry, ports)
    finally:
        with anyio.CancelScope(shield=True):
            for made, path in servers:
                await made.stop(None)
                if path is not None:
                    path.unlink(missing_ok=True)


def _bind(source: Source, registry: Registry, listen: Listen) -> tuple[Any, int]:
    server = grpc.aio.server(options=_OPTIONS if listen.tls is None else _OPTIONS + _AGING)
    for handler in _handlers(source, registry, partial(_peer, listen)):
        server.add_generic_rpc_handlers((handler,))
    taken = ConflictError(
        f"xDS cannot listen on {listen.address}: somebody else does",
        hint="end it, or choose another address",
    )
    if listen.path is not None:
        _clear(listen.path, taken)
        before = os.umask(0o177)
    try:
        if listen.tls is None:
            port = server.add_insecure_port(listen.target)
        else:
            port = server.add_secure_port(listen.target, _credentials(listen.tls))
    except RuntimeError as error:
        taken.cause = str(error)
        raise taken from None
    finally:
        if listen.path is not None:
            os.umask(before)
    if listen.path is not None and listen.tls is not None:
        listen.path.chmod(0o666)  # whoever gets there has to show a certificate
    return server, 0 if listen.path is not None else port


def _clear(path: Path, taken: ConflictError) -> None:
    """Remove a socket that an earlier run left; one that is in use stays."""
    import socket

    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise taken
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise taken


def _credentials(tls: Tls) -> Any:
    """Credentials that follow the files: a rotated certificate is used by the next handshake."""
    last = tls.read()

    def configuration(pair: tuple[bytes, bytes, bytes]) -> Any:
        key, cert, authority = pair
        return grpc.ssl_server_certificate_configuration([(key, cert)], authority)

    def fetch() -> Any:
        nonlocal last
        try:
            now = tls.read()
        except UsageError as error:
            _log.error("xDS keeps its old certificate: %s", error.message)
            return None
        if now == last:
            return None
        last = now
        return configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        configuration(last), fetch, require_client_authentication=True
    )


def _peer(listen: Listen, context: Any) -> Peer:
    """Who called, as the transport says."""
    if listen.tls is None:
        return Peer("unix" if listen.path is not None else "loopback")
    found = context.auth_context().get("x509_pem_cert") or [b""]
    return Peer("mtls", identity_in(found[0]))


def _handlers(source: Source, registry: Registry, peer_of: Callable[[Any], Peer]) -> list[Any]:
    def streaming(url: str, *, incremental: bool) -> Any:
        async def call(_: Any, context: Any) -> None:
            one = stream.Stream(source, registry, peer_of(context), url)
            await one.serve(context, incremental=incremental)

        request = pb.DeltaDiscoveryRequest if incremental else pb.DiscoveryRequest
        return grpc.stream_stream_rpc_method_handler(call, request.FromString, None)

    def unary(url: str) -> Any:
        async def call(request: Any, context: Any) -> bytes:
            return await stream.fetch(source, peer_of(context), url, request, context)

        return grpc.unary_unary_rpc_method_handler(call, pb.DiscoveryRequest.FromString, None)

    made = [
        grpc.method_handlers_generic_handler(
            "envoy.service.discovery.v3.AggregatedDiscoveryService",
            {
                "StreamAggregatedResources": streaming("", incremental=False),
                "DeltaAggregatedResources": streaming("", incremental=True),
            },
        )
    ]
    for name, (what, url) in _SERVICES.items():
        methods = {
            f"Stream{what}": streaming(url, incremental=False),
            f"Delta{what}": streaming(url, incremental=True),
            f"Fetch{what}": unary(url),
        }
        full = f"envoy.service.{name}"
        made.append(grpc.method_handlers_generic_handler(full, methods))
    return [*made, _csds(registry, peer_of)]


def _csds(registry: Registry, peer_of: Callable[[Any], Peer]) -> Any:
    """Over mTLS a client sees its own streams only."""

    def answer(context: Any) -> bytes:
        peer = peer_of(context)
        seen = (c for c in registry if peer.kind != "mtls" or c.peer == peer)
        return bytes(client_status(seen).SerializeToString())

    async def fetch(_: Any, context: Any) -> bytes:
        return answer(context)

    async def status(_: Any, context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            await context.write(answer(context))

    read = csds_pb2.ClientStatusRequest.FromString
    return grpc.method_handlers_generic_handler(
        "envoy.service.status.v3.ClientStatusDiscoveryService",
        {
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(fetch, read, None),
            "StreamClientStatus": grpc.stream_stream_rpc_method_handler(status, read, None),
        },
    )
