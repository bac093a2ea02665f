"""Requests of the native HTTP server, answered by the face: workers, streams, upgrades.

The server's thread parses and writes HTTP; one wake-up of the event loop brings any number of
requests. A few idle workers wait for them, since a task for each costs more than many answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver.authn import Peer
from cloudwright.apiserver.calls import Query
from cloudwright.apiserver.errors import ApiError, unauthorized
from cloudwright.apiserver.face import Answer, Door, Face, as_api_error
from cloudwright.apiserver.http.native import FaceServer
from cloudwright.apiserver.proxies.door import ProxyDoor, is_proxied
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.status import failure_reply
from cloudwright.client.transport import Reply, Request

if TYPE_CHECKING:
    from cloudwright.apiserver.http.feed import Feed

_log = logs.get("apiserver")
GONE, ROOM = 1, 2
IDLE_WORKERS_MAX = 64
ANSWERS_TOGETHER = 4
"""Answers that one wake-up of the server's thread sends. Those of one commit come in a row."""
_PEERS_MAX = 10_000
Arrival = tuple[
    int, str, str, tuple[tuple[str, str], ...], dict[str, str], bytes, tuple[Any, ...] | None, bool
]


class Exchanges:
    """Everything between the native server and the face. ``tasks`` runs the workers."""

    def __init__(self, server: FaceServer, face: Face, feed: Feed, tasks: TaskGroup) -> None:
        self._server = server
        self._face = face
        self._feed = feed
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._todo: deque[Arrival] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._peers: dict[int, _Shown] = {}
        self._streams: dict[int, anyio.CancelScope] = {}
        self._room: dict[int, anyio.Event] = {}
        self._answers: list[tuple[int, int, dict[str, str], bytes, bool]] = []
        self._busy = 0
        self._stopping = False
        self._quiet = anyio.Event()

    def start(self) -> None:
        """Begin to take requests."""
        self._loop.add_reader(self._server.fileno(), self._take)

    async def stop(self, seconds: float) -> None:
        """End watches and streams, let running requests finish for a while, close everything."""
        self._stopping = True
        self._server.drain()
        for scope in tuple(self._streams.values()):
            scope.cancel()
        if self._busy:
            with anyio.move_on_after(seconds):
                await self._quiet.wait()
        await anyio.to_thread.run_sync(self._server.stop, min(seconds, 1.0))
        self._loop.remove_reader(self._server.fileno())

    async def problem(self) -> str | None:
        """The ``shutdown`` check."""
        return "the server is shutting down" if self._stopping else None

    def _take(self) -> None:
        for item in self._server.take():
            if len(item) == 2:
                self._notice(*item)
            else:
                self._todo.append(item)
        for _ in range(len(self._todo)):
            if not self._idle:
                self._tasks.start_soon(self._work)
                continue
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)

    def _notice(self, number: int, what: int) -> None:
        if what == ROOM:
            event = self._room.pop(number, None)
            if event is not None:
                event.set()
            return
        scope = self._streams.get(number)
        if scope is not None:
            scope.cancel()
        else:
            self._feed.gone(number)

    async def _work(self) -> None:
        """A worker: answers what waits, then waits itself, unless many do already."""
        while True:
            while self._todo:
                await self._serve(self._todo.popleft())
            if len(self._idle) >= IDLE_WORKERS_MAX:
                return
            called = self._loop.create_future()
            self._idle.append(called)
            await called

    async def _serve(self, arrival: Arrival) -> None:
        if self._answers:
            self._send()
        number, method, path, query, headers, body, peer, askable = arrival
        self._busy += 1
        try:
            request = Request(method, path, query, headers, body)
            shown = self._shown(peer) if peer is not None else _NOTHING
            if shown.until < self._feed.now():
                answer = failure_reply(unauthorized())
                self._server.answer(number, answer.status, dict(answer.headers), answer.body)
                return
            if is_proxied(path):
                found = await self._attended(number, request, shown.peer)
            else:
                found = await self._face.answer(request, shown.peer)
            if isinstance(found, Reply):
                if found.status >= 400 or method == "GET":
                    await self._feed.settled()
                allow = askable and found.status == 200
                if allow:
                    allow = await self._face.may_repeat(request, shown.peer)
                self._answer(number, found, allow)
            elif isinstance(found, Door | ProxyDoor):
                await self._door(_Upgrade(self._server, number, headers, Query(query)), found)
            else:
                await self._stream(number, found)
        except Exception:
            _log.exception("a request failed", extra={"path": path})
            self._fail(number)
        finally:
            self._busy -= 1
            if self._stopping and not self._busy:
                self._quiet.set()

    def _answer(self, number: int, reply: Reply, allow: bool) -> None:
        """Send an answer, together with those that come right after it.

        None waits while something else is done: they go out before the next request is begun.
        """
        given = reply.headers if type(reply.headers) is dict else dict(reply.headers)
        self._answers.append((number, reply.status, given, reply.body, allow))
        if len(self._answers) >= ANSWERS_TOGETHER or self._busy == 1:
            self._send()
        elif len(self._answers) == 1:
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        answers, self._answers = self._answers, []
        for answer in answers:
            try:
                self._server.answer(*answer)
            except Exception:
                _log.exception("an answer cannot be sent", extra={"number": answer[0]})
                self._fail(answer[0])

    def _fail(self, number: int) -> None:
        broken = failure_reply(ApiError(500, "InternalError", "an internal error occurred"))
        self._server.answer(number, 500, dict(broken.headers), broken.body)

    async def _attended(self, number: int, request: Request, peer: Peer | None) -> Answer:
        """The answer of somebody who may never give one: asked for no longer than its client, and
        this server, stay.
        """
        with anyio.CancelScope() as scope:
            self._streams[number] = scope
            try:
                return await self._face.answer(request, peer)
            finally:
                self._streams.pop(number, None)
        return failure_reply(ApiError(503, "ServiceUnavailable", "the request was given up"))

    def _shown(self, peer: tuple[Any, ...]) -> _Shown:
        number = peer[0]
        found = self._peers.get(number)
        if found is None:
            if len(self._peers) >= _PEERS_MAX:
                self._peers.clear()
            found = self._peers[number] = _Shown(peer)
        return found

    async def _stream(self, number: int, reply: StreamReply) -> None:
        """Send what comes as it comes; the end of the server is an orderly end of the body."""
        with anyio.CancelScope() as scope:
            self._streams[number] = scope
            if self._stopping:
                scope.cancel()
            try:
                if self._server.open(number, reply.status, dict(reply.headers)):
                    await self._pour(number, reply)
            except ConnectionError as broken:  # whoever we got it from
                self._server.abort(number)
                _log.debug("a stream broke off", extra={"reason": str(broken)})
                return
            except Exception:
                self._server.abort(number)
                raise
            finally:
                self._streams.pop(number, None)
                with anyio.CancelScope(shield=True):
                    await reply.close()
        self._server.end(number)

    async def _pour(self, number: int, reply: StreamReply) -> None:
        plan = reply.watch
        if plan is not None and plan.from_memory and await self._feed.attach_at_once(number, plan):
            return
        async for chunk in reply.body if plan is None else plan.beginning():
            if not await self.write(number, chunk):
                return
        if plan is not None and plan.seconds_left():
            await self._feed.attach(number, plan)

    async def write(self, number: int, chunk: bytes) -> bool:
        """Send a piece of a stream, and wait while it is full; false: nobody reads it."""
        room = self._server.write(number, chunk)
        if room is False:
            event = self._room[number] = anyio.Event()
            try:
                await event.wait()
            finally:
                self._room.pop(number, None)
        return room is not None

    async def _door(self, upgrade: _Upgrade, door: Door | ProxyDoor) -> None:
        # Imported when first needed: most servers never see one.
        from cloudwright.apiserver.streams import doors

        number = upgrade.number
        with anyio.CancelScope() as scope:
            self._streams[number] = scope
            try:
                if isinstance(door, ProxyDoor):
                    await door.carry(upgrade)
                else:
                    await doors.serve(upgrade, door.pod, door.subresource, door.query, door.streams)
            except CloudwrightError as error:
                failed = failure_reply(as_api_error(error))
                self._server.answer(number, failed.status, dict(failed.headers), failed.body)
            except ConnectionError as gone:
                _log.debug("a client left", extra={"reason": str(gone)})
            finally:
                self._streams.pop(number, None)


class _Shown:
    """What a client's certificate says; ``until`` is 0 when it proves nothing."""

    __slots__ = ("peer", "until")

    def __init__(self, shown: tuple[Any, ...] | None) -> None:
        self.peer: Peer | None = None
        self.until = float("inf")
        if shown is not None:
            _, fingerprint, name, groups, not_after, problem = shown
            # Without a common name it names nobody, as upstream.
            self.peer = Peer(name, groups, fingerprint) if name else None
            self.until = 0.0 if problem else float(not_after)


_NOTHING = _Shown(None)


class _Upgrade:
    """``takeover.Upgrade`` of a request of the native server."""

    def __init__(
        self, server: FaceServer, number: int, headers: Mapping[str, str], query: Query
    ) -> None:
        self.number = number
        self.headers = headers
        self.query = query
        self._server = server

    def switch(self, headers: Mapping[str, str]) -> int:
        """Answer 101; returns the socket's descriptor."""
        descriptor = self._server.upgrade(self.number, dict(headers))
        if descriptor is None:
            raise ConnectionResetError("the client is gone")
        return descriptor
