"""The API over HTTPS: a native server in a thread of its own; ``face.Face`` decides the rest."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import ports, tls
from cloudwright.apiserver.authn import Authenticator
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.face import Face
from cloudwright.apiserver.health import Health
from cloudwright.apiserver.http.exchange import Exchanges
from cloudwright.apiserver.http.feed import Feed
from cloudwright.apiserver.http.native import FaceServer
from cloudwright.apiserver.identity import Authorizer
from cloudwright.apiserver.registry import storage_of
from cloudwright.model.streams import PodStreams

_log = logs.get("apiserver")
_DESCRIPTORS = 65_536


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """How the API is served."""

    host: str = "127.0.0.1"
    port: int = 6443
    """0 picks a free one."""
    service_cidr: str = "10.96.0.0/16"
    extra_names: tuple[str, ...] = ()
    """Further names or addresses in the server's certificate."""
    body_bytes_max: int = 3 << 20
    header_bytes_max: int = 64 << 10
    headers_max: int = 128
    gzip_bytes_min: int = 128 << 10
    """Answers from this size on are compressed when the client takes gzip."""
    keep_alive_seconds: float = 90.0
    drain_seconds: float = 5.0
    """How long running requests may take when the server stops; watches are ended at once."""
    watch_queue: int = 2048
    """Events that may wait for one slow watcher before it is ended with 410."""
    allow_seconds: float = 10.0
    """How long a caller who was allowed a read is not asked about the same reads again; rights
    and credentials that change end it at once. 0: ask every time."""
    memory_bytes_max: int = 512 << 20
    """Objects beyond this are not kept in memory for reads."""
    renew_every: timedelta = timedelta(hours=12)
    """How often the server's certificate is looked at, and renewed when it is near its end."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server."""

    host: str
    port: int
    face: Face
    server: FaceServer

    def listen(self, host: str, port: int) -> None:
        """Serve on a further address too. Raises ConflictError, CloudwrightError."""
        self.server.listen(ports.listen(host, port).detach())

    @property
    def url(self) -> str:
        """``https://HOST:PORT``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"


@asynccontextmanager
async def serve(
    core: ApiCore,
    config: FaceConfig,
    *,
    pki: tls.Pki,
    authenticator: Authenticator,
    authorizer: Authorizer,
    streams: PodStreams | None = None,
    checks: Health | None = None,
) -> AsyncIterator[Serving]:
    """Serve while the context is open; then end watches, let requests finish, close.

    ``authorizer`` must be the one that ``core`` asks too.

    Raises:
        ConflictError: the port is taken.
        CloudwrightError: the address or the certificates cannot be used.
    """
    names = tls.server_names(config.service_cidr, (config.host, *config.extra_names))
    names = [name for name in names if name not in ("0.0.0.0", "::")]  # noqa: S104
    pair = pki.server(names)
    _allow_descriptors()
    sock = ports.listen(config.host, config.port)
    port = sock.getsockname()[1]
    server = _native(sock.detach(), pair, pki, config, core.config.bookmark_seconds)
    face = Face(core, authenticator, authorizer, streams=streams, checks=checks)
    face.health.add("store", lambda: _store_problem(core))
    face.vitals.read(server.counts)
    async with anyio.create_task_group() as tasks:
        feed = Feed(server, core)
        exchanges = Exchanges(server, face, feed, tasks)
        face.health.add("shutdown", exchanges.problem, ready_only=True)
        feed.start()
        exchanges.start()
        tasks.start_soon(feed.fill)
        tasks.start_soon(_renew, pki, names, server, config.renew_every)
        try:
            yield Serving(config.host, port, face, server)
        finally:
            with anyio.CancelScope(shield=True):
                await exchanges.stop(config.drain_seconds)
                feed.stop()
            tasks.cancel_scope.cancel()


def _native(
    listener: int, pair: tls.Pair, pki: tls.Pki, config: FaceConfig, bookmark_seconds: float
) -> FaceServer:
    try:
        return FaceServer(
            listener,
            pair.certificate_pem,
            pair.key_pem,
            pki.ca.certificate_pem,
            body_bytes_max=config.body_bytes_max,
            header_bytes_max=config.header_bytes_max,
            headers_max=config.headers_max,
            gzip_bytes_min=config.gzip_bytes_min,
            idle_seconds=config.keep_alive_seconds,
            bookmark_seconds=bookmark_seconds,
            watch_events_max=config.watch_queue,
            allow_seconds=config.allow_seconds,
            state_bytes_max=config.memory_bytes_max,
        )
    except (OSError, ValueError) as error:
        raise CloudwrightError(
            "the API server cannot start", code="CW3222", cause=str(error)
        ) from error


def _allow_descriptors() -> None:
    """Thousands of watches need as many descriptors; what may be had without asking is taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _store_problem(core: ApiCore) -> str | None:
    try:
        await core.store.get(f"{storage_of('', 'namespaces')}/default")
    except StoreError as error:
        _log.error("the store does not answer", extra={"reason": error.message})
        return "reason withheld"
    return None


async def _renew(pki: tls.Pki, names: Sequence[str], server: FaceServer, every: timedelta) -> None:
    """New connections get the renewed certificate; old ones go on."""
    while True:
        await anyio.sleep(every.total_seconds())
        pair = pki.server(names)
        server.reload(pair.certificate_pem, pair.key_pem, pki.ca.certificate_pem)
