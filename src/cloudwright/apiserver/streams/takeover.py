"""Taking a connection over from the HTTP server after ``101 Switching Protocols``.

The only place that knows how aiohttp is put together; another server needs another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

HIGH_WATER = 256 << 10


class RawConnection(asyncio.Protocol):
    """A connection whose bytes are ours: ``session.Wire``."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._arrived = anyio.Event()
        self._writable = anyio.Event()
        self._writable.set()
        self._lost = False
        self._ended = False

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self._chunks.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH_WATER:
            self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> None:
        """asyncio: the peer ended its half; over TLS that ends the connection."""
        self._ended = True
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._lost = self._ended = True
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """asyncio: the peer does not keep up."""
        self._writable = anyio.Event()

    def resume_writing(self) -> None:
        """asyncio: the peer caught up."""
        self._writable.set()

    async def receive(self) -> bytes:
        """The next bytes; empty at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._arrived = anyio.Event()
            await self._arrived.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        if self._waiting > HIGH_WATER and not self._lost:
            self._transport.resume_reading()
        self._waiting = 0
        return data

    async def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            ConnectionError: the other side is gone.
        """
        await self._writable.wait()
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)

    async def aclose(self) -> None:
        """Send what is written, then close."""
        self._transport.close()


class Finished(web.StreamResponse):
    """What a handler returns when the connection is no longer the HTTP server's."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing is sent."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is sent."""


def take_over(request: web.BaseRequest, headers: Mapping[str, str]) -> RawConnection:
    """Answer 101 with ``headers`` and take the connection.

    Raises:
        ConnectionError: the client is gone already.
    """
    transport: Any = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    connection = RawConnection(transport)
    transport.set_protocol(connection)
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    return connection


def give_back(request: web.BaseRequest) -> Finished:
    """End the HTTP server's part: it forgets the connection, which is closed."""
    request.protocol.connection_lost(None)
    answer = Finished()
    answer.force_close()
    return answer
