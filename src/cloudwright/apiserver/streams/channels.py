"""The channels of an exec or attach, over WebSocket messages or SPDY streams."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import anyio
import orjson

from cloudwright.apiserver.streams.session import SpdySession, SpdyStream
from cloudwright.apiserver.streams.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")


Sink = Callable[[int, bytes], Awaitable[None]]
"""Takes ``(STDIN, data)`` (no data: its end) and ``(RESIZE, json)``."""


class Channels(Protocol):
    """One client's side of an interactive stream."""

    async def pump(self, sink: Sink) -> None:
        """Hand everything that the client sends to ``sink`` until the client goes."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send output. Raises ``ConnectionError`` when the client is gone."""

    async def finish(self, status: dict[str, Any]) -> None:
        """Tell how it ended (``metav1.Status``) and close."""


def _error_text(status: dict[str, Any]) -> bytes:
    """What old protocols without a Status get: the message, nothing for success."""
    return b"" if status["status"] == "Success" else str(status["message"]).encode()


class WebSocketChannels:
    """Each message is a channel's number and data; in the base64 variants, as text."""

    def __init__(self, socket: WebSocket) -> None:
        protocol = socket.protocol or "channel.k8s.io"
        self._socket = socket
        self._base64 = "base64" in protocol
        self._structured = protocol.startswith(("v4.", "v5."))

    async def greet(self, *channels: int) -> None:
        """An empty message on each writable channel: the client sees that it stands."""
        for channel in channels:
            await self.send(channel, b"")

    async def pump(self, sink: Sink) -> None:
        """Hand over what the client sends, until it goes."""
        async for message in self._socket:
            channel, data = self._decode(message)
            if channel == CLOSE:
                # v5: the second byte names the channel whose half is closed
                if data[:1] == bytes([STDIN]):
                    await sink(STDIN, b"")
            elif channel == RESIZE or (channel == STDIN and data):
                await sink(channel, data)

    def _decode(self, data: bytes | str) -> tuple[int, bytes]:
        if self._base64:
            text = data if isinstance(data, str) else data.decode("ascii", "replace")
            try:
                return int(text[:1] or "-1"), base64.b64decode(text[1:])
            except (ValueError, binascii.Error):
                return -1, b""
        raw = data.encode() if isinstance(data, str) else data
        return (raw[0], raw[1:]) if raw else (-1, b"")

    async def send(self, channel: int, data: bytes) -> None:
        """Send output."""
        if self._base64:
            await self._socket.send_text(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def finish(self, status: dict[str, Any]) -> None:
        """Send the status on the error channel and close."""
        data = orjson.dumps(status) if self._structured else _error_text(status)
        if data:
            await self.send(ERROR, data)
        await self._socket.close()


class SpdyChannels:
    """Each channel is a stream that the client opened with a ``streamType`` header."""

    def __init__(self, session: SpdySession, protocol: str, wanted: Iterable[str]) -> None:
        self._session = session
        self._structured = protocol.startswith("v4.")
        self._wanted = set(wanted)
        self._streams: dict[str, SpdyStream] = {}
        self._complete = anyio.Event()
        self._gone = anyio.Event()

    async def run(self) -> None:
        """Read the connection until it ends; everything else waits for this to run."""
        await self._session.run(self._opened)
        self._gone.set()
        self._complete.set()

    async def complete(self) -> bool:
        """Wait for the streams the request asked for; false when the client goes before."""
        await self._complete.wait()
        return not self._gone.is_set()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        await self._gone.wait()

    async def _opened(self, stream: SpdyStream) -> None:
        self._streams[stream.headers.get("streamtype", "")] = stream
        if self._wanted <= self._streams.keys():
            self._complete.set()

    async def pump(self, sink: Sink) -> None:
        """Hand over what the client sends on standard input and as sizes, until it goes."""

        async def read(name: str, channel: int) -> None:
            stream = self._streams.get(name)
            if stream is None:
                return
            while data := await stream.receive():
                await sink(channel, data)
            if channel == STDIN:
                await sink(STDIN, b"")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, "stdin", STDIN)
            tasks.start_soon(read, "resize", RESIZE)
            await self._gone.wait()

    async def send(self, channel: int, data: bytes) -> None:
        """Send output."""
        stream = self._streams.get("stdout" if channel == STDOUT else "stderr")
        if stream is not None:
            await stream.send(data)

    async def finish(self, status: dict[str, Any]) -> None:
        """Send the status on the error stream and end every stream."""
        data = orjson.dumps(status) if self._structured else _error_text(status)
        error = self._streams.get("error")
        if error is not None:
            await error.send(data)
        for stream in self._streams.values():
            await stream.close()
