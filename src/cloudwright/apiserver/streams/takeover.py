"""The connection of a request that was upgraded: its bytes come and go over a socket of ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Protocol

import anyio

from cloudwright.apiserver.calls import Query

HIGH_WATER = 256 << 10


class Upgrade(Protocol):
    """A request that may become a connection."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name; values of repeated ones are joined by commas."""

    @property
    def query(self) -> Query:
        """The query parameters."""

    def switch(self, headers: Mapping[str, str]) -> int:
        """Answer 101 with ``headers``; returns the descriptor of the socket that carries on.

        Raises:
            ConnectionError: the client is gone already.
        """


class RawConnection(asyncio.Protocol):
    """A connection whose bytes are ours: ``session.Wire``."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._arrived = anyio.Event()
        self._writable = anyio.Event()
        self._writable.set()
        self._lost = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is in use."""
        assert isinstance(transport, asyncio.Transport), "a stream socket"
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self._chunks.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH_WATER and self._transport is not None:
            self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> None:
        """asyncio: the peer ended its half, which ends the connection."""
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
        if self._waiting > HIGH_WATER and not self._lost and self._transport is not None:
            self._transport.resume_reading()
        self._waiting = 0
        return data

    async def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            ConnectionError: the other side is gone.
        """
        await self._writable.wait()
        if self._lost or self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)

    async def aclose(self) -> None:
        """Send what is written, then close."""
        if self._transport is not None:
            self._transport.close()


async def take_over(upgrade: Upgrade, headers: Mapping[str, str]) -> RawConnection:
    """Answer 101 with ``headers`` and take the connection.

    Raises:
        ConnectionError: the client is gone already.
    """
    sock = socket.socket(fileno=upgrade.switch(headers))
    try:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(RawConnection, sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection
