"""WebSocket through the gateway: the bytes after 101 are nobody's but the two ends'."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from tests.standards.data_plane.recorder import Reader, read_headers
from tests.standards.data_plane.world import WAYS, Edge, edge

UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)


def serve_frames(sock: socket.socket) -> None:
    """A WebSocket server that says everything back, close codes too."""
    server = WSConnection(ConnectionType.SERVER)
    while True:
        data = sock.recv(65536)
        server.receive_data(data or None)
        for event in server.events():
            for answer in answers(event):
                sock.sendall(server.send(answer))
        if not data:
            return


def answers(event: Event) -> list[Event]:
    """What the server says to one event."""
    match event:
        case Request():
            offers = PerMessageDeflate()
            more = [offers] if "permessage-deflate" in str(event.extensions) else []
            first = event.subprotocols[0] if event.subprotocols else None
            return [AcceptConnection(subprotocol=first, extensions=more)]
        case Message():
            kind = type(event)
            return [kind(data=event.data, message_finished=event.message_finished)]
        case Ping():
            return [event.response()]
        case CloseConnection():
            return [event.response()]
    return []


def serve_bytes(sock: socket.socket) -> None:
    """After an upgrade without WebSocket inside: every byte comes back."""
    reader = Reader(sock)
    reader.line()
    read_headers(reader)
    sock.sendall(UPGRADED)
    if reader.pending:
        sock.sendall(reader.pending)
    while part := sock.recv(65536):
        sock.sendall(part)


def refuse(sock: socket.socket) -> None:
    """No upgrade here."""
    reader = Reader(sock)
    while True:
        reader.line()
        read_headers(reader)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")


@contextmanager
def backend() -> Iterator[int]:
    """The three servers, by path: ``/bytes``, ``/refuse``, else WebSocket."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                path = self.request.recv(64, socket.MSG_PEEK)
                if path.startswith(b"GET /bytes "):
                    serve_bytes(self.request)
                elif path.startswith(b"GET /refuse "):
                    refuse(self.request)
                else:
                    serve_frames(self.request)
            except (EOFError, OSError):
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module", params=WAYS)
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    directory: Path = tmp_path_factory.mktemp("websocket")
    with backend() as port, edge(directory, request.param, port) as made:
        yield made


class Client:
    """A WebSocket client on one connection."""

    def __init__(self, front: Edge, **more: object) -> None:
        self.sock = front.connect()
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self.send(Request(host="h", target="/", **more))  # type: ignore[arg-type]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *events: Event) -> None:
        for event in events:
            self.sock.sendall(self.protocol.send(event))

    def next(self) -> Event:
        while not self._events:
            data = self.sock.recv(65536)
            self.protocol.receive_data(data or None)
            self._events += self.protocol.events()
        return self._events.pop(0)

    def message(self) -> str | bytes:
        """A whole message."""
        parts = []
        while True:
            event = self.next()
            assert isinstance(event, Message), event
            parts.append(event.data)
            if event.message_finished:
                return b"".join(parts) if isinstance(parts[0], bytes) else "".join(parts)


def opened(front: Edge, **more: object) -> Client:
    """A client after 101."""
    client = Client(front, **more)
    accepted = client.next()
    assert isinstance(accepted, AcceptConnection), accepted
    return client


def test_text_in_every_script(front: Edge) -> None:
    with opened(front) as client:
        for text in ("", "a", "żółć", "漢字かな", "🎈" * 1000):
            client.send(TextMessage(data=text))
            assert client.message() == text


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 8 << 20])
def test_binary_of_every_length_form(front: Edge, size: int) -> None:
    data = os.urandom(size)
    with opened(front) as client:
        sender = threading.Thread(target=client.send, args=(BytesMessage(data=data),))
        sender.start()
        assert client.message() == data
        sender.join()


def test_fragments_with_a_ping_between(front: Edge) -> None:
    with opened(front) as client:
        client.send(TextMessage(data="first ", message_finished=False))
        client.send(Ping(payload=b"between"))
        client.send(TextMessage(data="last", message_finished=True))
        seen = [client.next() for _ in range(3)]
        pongs = [event for event in seen if isinstance(event, Pong)]
        texts = [event.data for event in seen if isinstance(event, TextMessage)]
    assert [bytes(pong.payload) for pong in pongs] == [b"between"]
    assert "".join(texts) == "first last"


@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 125])
def test_pings_are_answered_by_the_other_end(front: Edge, payload: bytes) -> None:
    with opened(front) as client:
        client.send(Ping(payload=payload))
        pong = client.next()
        assert isinstance(pong, Pong)
        assert bytes(pong.payload) == payload


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1009, 1011, 3000, 4999])
def test_close_codes_come_back(front: Edge, code: int) -> None:
    with opened(front) as client:
        client.send(CloseConnection(code=code, reason="so"))
        closed = client.next()
        assert isinstance(closed, CloseConnection)
        assert (closed.code, closed.reason) == (code, "so")


def test_a_subprotocol_and_compression_are_the_ends_own(front: Edge) -> None:
    client = Client(front, subprotocols=["chat.v2", "chat.v1"], extensions=[PerMessageDeflate()])
    with client:
        accepted = client.next()
        assert isinstance(accepted, AcceptConnection)
        assert accepted.subprotocol == "chat.v2"
        client.send(TextMessage(data="squeeze " * 10_000))
        assert client.message() == "squeeze " * 10_000


def upgrade(front: Edge, path: str, early: bytes = b"") -> tuple[socket.socket, bytes]:
    """Ask for an upgrade; the connection and what came after the head of the answer."""
    sock = front.connect()
    head = (
        f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    sock.sendall(head.encode() + early)
    text = b""
    while b"\r\n\r\n" not in text:
        part = sock.recv(65536)
        assert part, f"closed after {text!r}"
        text += part
    answer, _, rest = text.partition(b"\r\n\r\n")
    return sock, answer.split(b"\r\n", 1)[0] + b"\n" + rest


def test_bytes_pass_untouched(front: Edge) -> None:
    """Masked or not, reserved bits, unknown opcodes: nothing is looked at, nothing is changed."""
    data = bytes(range(256)) * 4096
    sock, answer = upgrade(front, "/bytes")
    assert answer == b"HTTP/1.1 101 Switching Protocols\n"
    with sock:
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            part = sock.recv(1 << 20)
            assert part, f"closed after {len(back)} bytes"
            back += part
        sender.join()
    assert back == data


def test_frames_sent_before_the_answer_are_kept(front: Edge) -> None:
    sock, answer = upgrade(front, "/bytes", early=b"\x89\x80abcd")
    with sock:
        text = answer.partition(b"\n")[2]
        while len(text) < 6:
            part = sock.recv(100)
            assert part, "closed"
            text += part
    assert text == b"\x89\x80abcd"


def test_one_end_may_finish_before_the_other(front: Edge) -> None:
    """A half-closed tunnel still brings what the other end says."""
    sock, _ = upgrade(front, "/bytes")
    with sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        back = b""
        while part := sock.recv(100):
            back += part
    assert back == b"last words"


def test_a_refused_upgrade_is_an_answer_like_any(front: Edge) -> None:
    sock, answer = upgrade(front, "/refuse")
    with sock:
        assert answer.startswith(b"HTTP/1.1 403"), answer
