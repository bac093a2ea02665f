"""Port-forward: pairs of SPDY streams, or pairs of WebSocket channels, to a pod's ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver.streams import spdy
from cloudwright.apiserver.streams.session import SpdySession, SpdyStream, Wire
from cloudwright.apiserver.streams.websocket import WebSocket
from cloudwright.model.streams import ByteStream

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{SPDY_PROTOCOL}"
"""WebSocket sub-protocol whose messages carry an SPDY connection (kubectl 1.31 and later)."""
Connect = Callable[[int], Awaitable[ByteStream]]
STREAMS_MAX = 1000
_log = logs.get("apiserver")


class WebSocketWire:
    """An SPDY connection inside WebSocket messages."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        """The next message's bytes; empty at the end."""
        async for message in self._socket:
            if isinstance(message, str):
                return b""
            if message:
                return message
        return b""

    async def send(self, data: bytes) -> None:
        """Send one message."""
        await self._socket.send_bytes(data)

    async def aclose(self) -> None:
        """Close the WebSocket."""
        await self._socket.close()


async def over_spdy(wire: Wire, connect: Connect) -> None:
    """Serve pairs of streams (``error`` and ``data`` of one request id) until the client goes."""
    session = SpdySession(wire, streams_max=STREAMS_MAX)
    errors: dict[str, SpdyStream] = {}
    async with anyio.create_task_group() as tasks:

        async def opened(stream: SpdyStream) -> None:
            kind = stream.headers.get("streamtype")
            request = stream.headers.get("requestid", "")
            if kind == "error":
                errors[request] = stream
            elif kind == "data" and request in errors:
                tasks.start_soon(_pair, stream, errors.pop(request), connect)
            else:
                await stream.reset(spdy.PROTOCOL_ERROR)

        await session.run(opened)
        tasks.cancel_scope.cancel()


async def _pair(data: SpdyStream, error: SpdyStream, connect: Connect) -> None:
    try:
        try:
            await _carry(data, connect)
        except (CloudwrightError, ValueError) as problem:
            port = data.headers.get("port", "")
            await error.send(f"an error occurred forwarding {port}: {problem}".encode())
        await data.close()
        await error.close()
    except ConnectionError as gone:
        _log.debug("a client left its port-forward", extra={"reason": str(gone)})


async def _carry(stream: SpdyStream, connect: Connect) -> None:
    remote = await connect(_port(stream.headers.get("port", "")))
    try:
        async with anyio.create_task_group() as tasks:

            async def inward() -> None:
                while data := await stream.receive():
                    await remote.send(data)
                await remote.send_eof()

            tasks.start_soon(inward)
            while data := await remote.receive():
                await stream.send(data)
            tasks.cancel_scope.cancel()
    except* (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as broken:
        raise CloudwrightError(str(broken.exceptions[0]) or "the connection broke") from None
    except* CloudwrightError as failed:
        raise CloudwrightError(str(failed.exceptions[0])) from None
    finally:
        with anyio.CancelScope(shield=True):
            await remote.aclose()


def _port(text: str) -> int:
    """The port number in ``text``.

    Raises:
        ValueError: it is none.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is not a port number")
    return int(text)


def ports_of(values: list[str]) -> list[int]:
    """The ports in ``ports=8080,9090`` query parameters.

    Raises:
        ValueError: one is no port number.
    """
    return [_port(part.strip()) for value in values for part in value.split(",") if part.strip()]


async def over_websocket(socket: WebSocket, ports: list[int], connect: Connect) -> None:
    """Serve channels 2i (data) and 2i+1 (error) for each port until the client goes."""
    remotes: dict[int, ByteStream] = {}
    for index, port in enumerate(ports):
        announced = port.to_bytes(2, "little")
        await socket.send_bytes(bytes((2 * index,)) + announced)
        await socket.send_bytes(bytes((2 * index + 1,)) + announced)
    try:
        async with anyio.create_task_group() as tasks:
            for index, port in enumerate(ports):
                try:
                    remotes[2 * index] = await connect(port)
                except CloudwrightError as error:
                    text = f"an error occurred forwarding {port}: {error.message}".encode()
                    await socket.send_bytes(bytes((2 * index + 1,)) + text)
                    continue
                tasks.start_soon(_outward, socket, 2 * index, remotes[2 * index])
            if remotes:
                await _inward(socket, remotes)
            tasks.cancel_scope.cancel()
    except* (OSError, anyio.BrokenResourceError) as broken:
        _log.debug("a port-forward ended", extra={"reason": str(broken.exceptions[0])})
    finally:
        with anyio.CancelScope(shield=True):
            for remote in remotes.values():
                await remote.aclose()
            await socket.close()


async def _outward(socket: WebSocket, channel: int, remote: ByteStream) -> None:
    prefix = bytes((channel,))
    while data := await remote.receive():
        await socket.send_bytes(prefix + data)
    # These channels have no half-close: the end of the pod's side ends the forward.
    await socket.close()


async def _inward(socket: WebSocket, remotes: dict[int, ByteStream]) -> None:
    async for message in socket:
        if isinstance(message, str):
            return
        remote = remotes.get(message[0]) if message else None
        if remote is not None and len(message) > 1:
            await remote.send(message[1:])
