"""SPDY streams over a byte transport: what ``spdy.Codec`` frames, with anyio."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from cloudwright._base import logs
from cloudwright.apiserver.streams import spdy

_log = logs.get("apiserver")

FRAMES_WAITING = 16


class Wire(Protocol):
    """A two-way byte transport."""

    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises ``ConnectionError`` when the other side is gone."""

    async def aclose(self) -> None:
        """Close it."""


class SpdyStream:
    """A stream that the peer opened. Reading slowly slows the whole connection down."""

    def __init__(
        self,
        session: SpdySession,
        number: int,
        headers: Mapping[str, str],
        incoming: MemoryObjectReceiveStream[bytes],
    ) -> None:
        self._session = session
        self._number = number
        self._incoming = incoming
        self._ended = False
        self.headers = headers

    async def receive(self) -> bytes:
        """The next bytes; empty once the peer ended its half or the connection."""
        try:
            return await self._incoming.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            return b""

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises ``ConnectionError`` when the connection is gone."""
        if data and not self._ended:
            await self._session.write(self._session.codec.data(self._number, data))

    async def close(self) -> None:
        """End our half."""
        if not self._ended:
            self._ended = True
            await self._session.write(self._session.codec.data(self._number, b"", fin=True))

    async def reset(self, status: int = spdy.CANCEL) -> None:
        """End both halves at once."""
        self._ended = True
        self._incoming.close()
        await self._session.write(self._session.codec.reset(self._number, status))


class SpdySession:
    """The server's side of a connection."""

    def __init__(self, wire: Wire, *, streams_max: float = math.inf) -> None:
        self._wire = wire
        self._sending = anyio.Lock()
        self._inboxes: dict[int, MemoryObjectSendStream[bytes]] = {}
        self._streams_max = streams_max
        self._last = 0
        self.codec = spdy.Codec()

    async def write(self, data: bytes) -> None:
        """Send frames whole."""
        async with self._sending:
            await self._wire.send(data)

    async def run(self, opened: Callable[[SpdyStream], Awaitable[None]]) -> None:
        """Read until the connection ends, telling ``opened`` of every stream the peer opens.

        ``opened`` must not wait for what arrives later: nothing is read meanwhile.
        """
        try:
            while data := await self._wire.receive():
                for event in self.codec.receive(data):
                    stream = await self._handle(event)
                    if stream is not None:
                        await opened(stream)
        except (ConnectionError, spdy.SpdyError) as error:
            _log.debug("an SPDY connection ended", extra={"reason": str(error)})
        finally:
            for inbox in self._inboxes.values():
                inbox.close()
            self._inboxes.clear()

    async def goaway(self) -> None:
        """Tell the peer that the connection ends."""
        await self.write(self.codec.goaway(self._last))

    async def _handle(self, event: spdy.Event) -> SpdyStream | None:
        if isinstance(event, spdy.StreamOpened):
            return await self._open(event)
        if isinstance(event, spdy.DataReceived):
            await self._deliver(event)
        elif isinstance(event, spdy.StreamReset):
            self._end(event.stream)
        elif isinstance(event, spdy.PingReceived) and event.number % 2:
            await self.write(self.codec.ping(event.number))
        return None

    async def _open(self, event: spdy.StreamOpened) -> SpdyStream | None:
        if event.stream <= self._last or event.stream % 2 == 0:
            raise spdy.SpdyError(f"the stream number {event.stream} cannot be opened")
        self._last = event.stream
        if len(self._inboxes) >= self._streams_max:
            await self.write(self.codec.reset(event.stream, spdy.REFUSED_STREAM))
            return None
        send, receive = anyio.create_memory_object_stream[bytes](FRAMES_WAITING)
        if event.fin:
            send.close()
        else:
            self._inboxes[event.stream] = send
        await self.write(self.codec.reply(event.stream, {}))
        return SpdyStream(self, event.stream, event.headers, receive)

    async def _deliver(self, event: spdy.DataReceived) -> None:
        inbox = self._inboxes.get(event.stream)
        if inbox is None:
            return  # ended by us a moment ago
        try:
            if event.data:
                await inbox.send(event.data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._end(event.stream)
        if event.fin:
            self._end(event.stream)

    def _end(self, number: int) -> None:
        inbox = self._inboxes.pop(number, None)
        if inbox is not None:
            inbox.close()
