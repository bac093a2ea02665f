"""Streams into a pod over WebSocket (``v5.channel.k8s.io``, else ``v4``): the first byte of a
message is the channel.

Sans-IO framing by wsproto; the socket is the blocking client's own, so that TLS and credentials
are shared.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
)

from cloudwright._base.errors import UnreachableError
from cloudwright.client import transport
from cloudwright.client.errors import from_reply
from cloudwright.client.transports.blocking import BlockingClient

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]


class Channels:
    """One open stream. ``receive`` blocks; ``socket`` may be waited on with select."""

    def __init__(
        self,
        client: BlockingClient,
        path: str,
        query: Sequence[tuple[str, str]],
        protocols: Sequence[str] = PROTOCOLS,
    ) -> None:
        connection = client.connect()
        connection.connect()
        self.socket: Any = connection.sock
        self.socket.settimeout(None)
        self.protocol = ""
        self._websocket = WSConnection(ConnectionType.CLIENT)
        self._pending: list[tuple[int, bytes]] = []
        self._partial = b""
        self.closed = False
        headers = [(k.encode(), v.encode()) for k, v in client.headers().items() if k != "accept"]
        self._send(
            Request(
                host=connection.host,
                target=client.target(transport.Request("GET", path, query)),
                subprotocols=list(protocols),
                extra_headers=headers,
            )
        )
        self._handshake()

    def _send(self, event: Any) -> None:
        self.socket.sendall(self._websocket.send(event))

    def _handshake(self) -> None:
        refused, body = 0, b""
        while True:
            data = self.socket.recv(65536)
            self._websocket.receive_data(data or None)
            for event in self._websocket.events():
                if isinstance(event, AcceptConnection):
                    self.protocol = event.subprotocol or ""
                    self._take()
                    return
                if isinstance(event, RejectConnection):
                    refused = event.status_code
                    if not event.has_body:
                        raise from_reply(refused, body)
                elif isinstance(event, RejectData):
                    body += event.data
                    if event.body_finished:
                        raise from_reply(refused, body)
            if not data:
                raise UnreachableError("the API closed the stream before it began")

    def _take(self) -> None:
        for event in self._websocket.events():
            if isinstance(event, BytesMessage):
                self._partial += bytes(event.data)
                if event.message_finished:
                    message, self._partial = self._partial, b""
                    if message:
                        self._pending.append((message[0], message[1:]))
            elif isinstance(event, Ping):
                self._send(event.response())
            elif isinstance(event, CloseConnection):
                self.closed = True

    def receive(self) -> list[tuple[int, bytes]]:
        """The messages of one read from the socket, as ``(channel, data)``; ``closed`` tells the
        end.
        """
        if not self._pending and not self.closed:
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.closed = True
            else:
                self._websocket.receive_data(data)
                while getattr(self.socket, "pending", lambda: 0)():
                    self._websocket.receive_data(self.socket.recv(65536))
                self._take()
        found, self._pending = self._pending, []
        return found

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Every message until the end."""
        while not self.closed or self._pending:
            yield from self.receive()

    def send(self, channel: int, data: bytes) -> None:
        """Send ``data`` on a channel."""
        self._send(BytesMessage(bytes([channel]) + data))

    def end_stdin(self) -> None:
        """Tell the process that its input has ended (only v5 can)."""
        if self.protocol.startswith("v5"):
            self.send(CLOSE, bytes([STDIN]))

    def close(self) -> None:
        """Close the stream."""
        try:
            self._send(CloseConnection(code=1000))
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def exit_code(status: bytes) -> tuple[int, str]:
    """Exit code and message of the ``metav1.Status`` that ends an exec."""
    document = json.loads(status or b"{}")
    if document.get("status") == "Success":
        return 0, ""
    for cause in (document.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause.get("message", "1")), ""
    return 1, str(document.get("message", ""))
