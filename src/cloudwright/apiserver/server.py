"""The API over HTTPS: sockets, TLS and HTTP/1.1 by aiohttp; ``face.Face`` decides the rest."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from weakref import WeakKeyDictionary

import anyio
from aiohttp import web
from anyio.abc import TaskGroup

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import ports, tls
from cloudwright.apiserver.authn import Authenticator, Peer, peer_of
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.errors import StoreError, too_large
from cloudwright.apiserver.face import Answer, Door, Face, as_api_error
from cloudwright.apiserver.health import Health
from cloudwright.apiserver.http_vitals import Names
from cloudwright.apiserver.identity import Authorizer
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.status import failure_reply
from cloudwright.apiserver.streams import doors
from cloudwright.client.transport import Reply, Request
from cloudwright.model.streams import PodStreams

_log = logs.get("apiserver")
_SECURITY = {
    "cache-control": "no-cache, private",
    "x-content-type-options": "nosniff",
    "server": "cloudwright",
}
_BODY_METHODS = ("POST", "PUT", "PATCH", "DELETE")


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
    renew_every: timedelta = timedelta(hours=12)
    """How often the server's certificate is looked at, and renewed when it is near its end."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server."""

    host: str
    port: int
    face: Face

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
    context = tls.server_context(pki, names)
    sock = ports.listen(config.host, config.port)
    face = Face(core, authenticator, authorizer, streams=streams, checks=checks)
    face.health.add("store", lambda: _store_problem(core))
    try:
        async with anyio.create_task_group() as tasks:
            handler = _Handler(face, config, tasks)
            face.health.add("shutdown", handler.stopping_problem, ready_only=True)
            server = web.Server(
                handler.handle,
                handler_cancellation=True,
                access_log=None,
                keepalive_timeout=config.keep_alive_seconds,
                max_line_size=config.header_bytes_max,
                max_field_size=config.header_bytes_max,
                max_headers=config.headers_max,
            )
            runner = web.ServerRunner(server, shutdown_timeout=config.drain_seconds)
            await runner.setup()
            await web.SockSite(runner, sock, ssl_context=context).start()
            tasks.start_soon(_renew, pki, names, context, config.renew_every)
            try:
                yield Serving(config.host, sock.getsockname()[1], face)
            finally:
                with anyio.CancelScope(shield=True):
                    handler.stop()
                    await runner.cleanup()
                tasks.cancel_scope.cancel()
    finally:
        sock.close()


async def _store_problem(core: ApiCore) -> str | None:
    try:
        await core.store.get(f"{storage_of('', 'namespaces')}/default")
    except StoreError as error:
        _log.error("the store does not answer", extra={"reason": error.message})
        return "reason withheld"
    return None


async def _renew(
    pki: tls.Pki, names: Iterable[str], context: ssl.SSLContext, every: timedelta
) -> None:
    """New connections get the renewed certificate; old ones go on."""
    while True:
        await anyio.sleep(every.total_seconds())
        pair = pki.server(names)
        context.load_cert_chain(pair.certificate_file, pair.key_file)


class _Handler:
    """What aiohttp calls for every request."""

    def __init__(self, face: Face, config: FaceConfig, tasks: TaskGroup) -> None:
        self._face = face
        self._config = config
        self._tasks = tasks
        self._streams: set[anyio.CancelScope] = set()
        self._stopping = False

    def stop(self) -> None:
        """End every watch and stream; ``/readyz`` fails from now on."""
        self._stopping = True
        for scope in self._streams:
            scope.cancel()

    async def stopping_problem(self) -> str | None:
        """The ``shutdown`` check."""
        return "the server is shutting down" if self._stopping else None

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        started = perf_counter()
        vitals = self._face.vitals
        vitals.begin()
        names: Names = ("other", "", "", "", "")
        counted = False
        try:
            request = await _read(http, self._config.body_bytes_max)
            if request is None:
                answer: Answer = failure_reply(too_large(self._config.body_bytes_max))
            else:
                names = self._face.names(request)
                answer = await self._ask(request, _peer(http))
            if isinstance(answer, Reply):
                vitals.end(names, answer.status, perf_counter() - started)
                counted = True
                return await self._whole(http, answer, too_much=request is None)
            vitals.stream_begins(names, 101 if isinstance(answer, Door) else answer.status)
            counted = True
            try:
                if isinstance(answer, Door):
                    return await self._door(http, answer)
                return await self._stream(http, answer)
            finally:
                vitals.stream_ends(names)
        finally:
            if not counted:
                vitals.end(names, 499, perf_counter() - started)

    async def _ask(self, request: Request, peer: Peer | None) -> Answer:
        """The face's answer. A write goes on when the client leaves in the middle of it."""
        if request.method not in _BODY_METHODS:
            return await self._face.answer(request, peer)
        return await _detached(self._tasks, lambda: self._face.answer(request, peer))

    async def _whole(
        self, http: web.BaseRequest, reply: Reply, *, too_much: bool
    ) -> web.StreamResponse:
        headers = {**_SECURITY, **reply.headers}
        body = reply.body
        takes_gzip = "gzip" in http.headers.get("Accept-Encoding", "")
        if headers.get("content-encoding") == "gzip":
            if not takes_gzip:
                del headers["content-encoding"]
                body = gzip.decompress(body)
        elif takes_gzip and len(body) >= self._config.gzip_bytes_min:
            body = await anyio.to_thread.run_sync(gzip.compress, body, 1)
            headers["content-encoding"] = "gzip"
            headers["vary"] = "Accept-Encoding"
        response = web.Response(status=reply.status, headers=headers, body=body)
        if too_much:
            response.force_close()
        return response

    async def _stream(self, http: web.BaseRequest, reply: StreamReply) -> web.StreamResponse:
        """Send what comes as it comes; the end of the server is an orderly end of the body."""
        response = web.StreamResponse(status=reply.status, headers={**_SECURITY, **reply.headers})
        try:
            response.enable_chunked_encoding()
            await response.prepare(http)
            with self._ended_by_stop():
                async for chunk in reply.body:
                    await response.write(chunk)
        finally:
            with anyio.CancelScope(shield=True):
                await reply.close()
        await response.write_eof()
        return response

    async def _door(self, http: web.BaseRequest, door: Door) -> web.StreamResponse:
        try:
            with self._ended_by_stop():
                return await doors.serve(http, door.pod, door.subresource, door.query, door.streams)
        except CloudwrightError as error:
            return await self._whole(http, failure_reply(as_api_error(error)), too_much=True)
        return web.Response(status=503, headers={"connection": "close"})

    def _ended_by_stop(self) -> _Stoppable:
        return _Stoppable(self._streams)


class _Stoppable:
    """A cancel scope that is in a set while it is open."""

    def __init__(self, scopes: set[anyio.CancelScope]) -> None:
        self._scopes = scopes
        self._scope = anyio.CancelScope()

    def __enter__(self) -> None:
        self._scopes.add(self._scope)
        self._scope.__enter__()

    def __exit__(self, *details: object) -> bool:
        self._scopes.discard(self._scope)
        return bool(self._scope.__exit__(*details))  # type: ignore[arg-type]


async def _detached(tasks: TaskGroup, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Wait for ``ask`` in a task of the server, so that cancelling the waiter does not stop it."""
    done = anyio.Event()
    answers: list[Answer] = []

    async def work() -> None:
        try:
            answers.append(await ask())
        finally:
            done.set()

    tasks.start_soon(work)
    await done.wait()
    if not answers:
        raise ConnectionAbortedError("the server is stopping")
    return answers[0]


async def _read(http: web.BaseRequest, limit: int) -> Request | None:
    """The request with its whole body; ``None`` when that is over ``limit``."""
    body = b""
    if http.can_read_body:
        if (http.content_length or 0) > limit:
            return None
        chunks, size = [], 0
        async for chunk in http.content.iter_any():
            size += len(chunk)
            if size > limit:
                return None
            chunks.append(chunk)
        body = b"".join(chunks)
    url = http.rel_url
    return Request(http.method, url.raw_path, tuple(url.query.items()), _headers(http), body)


def _headers(http: web.BaseRequest) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in http.headers.items():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


_peers: WeakKeyDictionary[ssl.SSLObject, Peer | None] = WeakKeyDictionary()


def _peer(http: web.BaseRequest) -> Peer | None:
    """The verified client certificate's subject, if one was shown; read once a connection."""
    transport = http.transport
    secure = transport.get_extra_info("ssl_object") if transport is not None else None
    if secure is None:
        return None
    if secure not in _peers:
        _peers[secure] = peer_of(secure.getpeercert())
    return _peers[secure]
