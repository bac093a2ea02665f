"""A WebSocket (RFC 6455) on a connection that was taken over; ``wsproto`` knows the frames."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

import anyio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from cloudwright.apiserver.errors import bad_request
from cloudwright.apiserver.streams.takeover import RawConnection, Upgrade, take_over

MESSAGE_MAX = 4 << 20
HEARTBEAT_SECONDS = 30.0
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for a WebSocket."""
    upgrading = "upgrade" in headers.get("connection", "").lower()
    return upgrading and headers.get("upgrade", "").lower() == "websocket"


async def accept(upgrade: Upgrade, protocols: Sequence[str]) -> WebSocket:
    """Answer the handshake; the first protocol that the client offers and we serve is chosen.

    Raises:
        ApiError: 400, it is no proper handshake, or none of its protocols is served.
        ConnectionError: the client is gone already.
    """
    headers = upgrade.headers
    key = headers.get("sec-websocket-key", "").strip()
    if headers.get("sec-websocket-version", "").strip() != "13" or not _is_key(key):
        raise bad_request("the WebSocket handshake is not one of RFC 6455 (version 13)")
    offered = headers.get("sec-websocket-protocol", "")
    names = [name.strip() for name in offered.split(",") if name.strip()]
    chosen = next((name for name in names if name in protocols), "")
    if names and not chosen:
        raise bad_request(f"none of the protocols {offered} is served: {', '.join(protocols)}")
    digest = hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()
    answer = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-accept": base64.b64encode(digest).decode(),
    }
    if chosen:
        answer["sec-websocket-protocol"] = chosen
    return WebSocket(await take_over(upgrade, answer), chosen)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False


class WebSocket:
    """The server's side. One task may receive while others send."""

    def __init__(self, connection: RawConnection, protocol: str) -> None:
        self.protocol = protocol
        self._connection = connection
        self._frames = Connection(ConnectionType.SERVER)
        self._messages: deque[bytes | str] = deque()
        self._binary: list[bytes] = []
        self._text: list[str] = []
        self._size = 0
        self._ended = False

    async def receive(self) -> bytes | str | None:
        """The next message; ``None`` at the end. Keeps the connection alive by pings.

        Raises:
            ConnectionError: the client does not answer, or its messages are too large.
        """
        quiet = False
        while not self._messages:
            if self._ended:
                return None
            data: bytes | None = None
            with anyio.move_on_after(HEARTBEAT_SECONDS):
                data = await self._connection.receive()
            if data is None:
                if quiet:
                    raise ConnectionAbortedError("the client does not answer")
                quiet = True
                await self._write(Ping())
                continue
            quiet = False
            await self._feed(data)
        return self._messages.popleft()

    def __aiter__(self) -> AsyncIterator[bytes | str]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes | str]:
        while (message := await self.receive()) is not None:
            yield message

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message. Raises ``ConnectionError`` when the client is gone."""
        await self._write(BytesMessage(data=data))

    async def send_text(self, text: str) -> None:
        """Send a text message. Raises ``ConnectionError`` when the client is gone."""
        await self._write(TextMessage(data=text))

    async def close(self) -> None:
        """Say goodbye, if the client is still there, and close."""
        try:
            if self._frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
                await self._write(CloseConnection(code=CloseReason.NORMAL_CLOSURE))
        except ConnectionError:
            pass  # gone already: that is what we want
        finally:
            await self._connection.aclose()

    async def _write(self, event: Event) -> None:
        try:
            data = self._frames.send(event)
        except LocalProtocolError as error:
            raise ConnectionResetError("the client has closed the WebSocket") from error
        await self._connection.send(data)

    async def _feed(self, data: bytes) -> None:
        self._frames.receive_data(data or None)
        for event in self._frames.events():
            await self._handle(event)

    async def _handle(self, event: Event) -> None:
        if isinstance(event, Ping):
            await self._write(event.response())
        elif isinstance(event, CloseConnection):
            self._ended = True
            if self._frames.state is ConnectionState.REMOTE_CLOSING:
                await self._write(event.response())
        elif isinstance(event, BytesMessage):
            self._binary.append(bytes(event.data))
            self._take(len(event.data), event.message_finished)
        elif isinstance(event, TextMessage):
            self._text.append(event.data)
            self._take(len(event.data), event.message_finished)
        else:
            assert isinstance(event, Pong), "every event of the frame protocol is known"

    def _take(self, size: int, finished: bool) -> None:
        self._size += size
        if self._size > MESSAGE_MAX:
            raise ConnectionAbortedError("a message is too large")
        if finished:
            self._messages.append("".join(self._text) if self._text else b"".join(self._binary))
            self._text.clear()
            self._binary.clear()
            self._size = 0
