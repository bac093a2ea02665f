"""Clients that want to harm: the proxy stays up, bounded in memory, and serves the others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.processes import memory
from tests.standards.data_plane import frames
from tests.standards.data_plane.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    block,
    frame,
    request,
)
from tests.standards.data_plane.recorder import recording
from tests.standards.data_plane.world import WAYS, Edge, edge, known_fault

MEBI = 1 << 20
GROWTH = 48 * MEBI
"""What an attack of many megabytes may leave behind at most."""
HEADER_TIMEOUT_MS = 1000


@pytest.fixture(scope="module", params=WAYS)
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    directory: Path = tmp_path_factory.mktemp("hostile")
    if request.param == "mesh":
        more = {"limits": {"header_timeout_ms": HEADER_TIMEOUT_MS}}
    else:
        more = {"header_timeout": f"{HEADER_TIMEOUT_MS}ms"}  # type: ignore[dict-item]
    with recording() as recorder, edge(directory, request.param, recorder.port, **more) as made:
        yield made


@pytest.fixture(autouse=True)
def unharmed(front: Edge) -> Iterator[None]:
    """After each attack: it runs, its memory is bounded, another client is served."""
    served(front)
    before = memory(front.gateway.pid)["Anonymous"]
    yield
    assert front.gateway.process.poll() is None, front.gateway.tail()
    served(front)
    grown = memory(front.gateway.pid)["Anonymous"] - before
    assert grown < GROWTH, f"{grown / MEBI:.0f} MiB more"


def served(front: Edge) -> None:
    """Other clients get their answers, by both protocols."""
    with front.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200"), front.gateway.tail()
    with Connection(front.port) as connection:
        connection.ask(1, request("/"))
        assert connection.answer(1)[0] == "200", front.gateway.tail()


def until_closed(connection: Connection, limit: int = 100_000) -> int | None:
    """The code of GOAWAY when one came; the connection must end."""
    code = None
    for _ in range(limit):
        found = connection.next()
        if found is None:
            return code
        if found.kind == GOAWAY:
            code = int.from_bytes(found.payload[4:8], "big")
    raise AssertionError("the connection goes on")


def pushed(connection: Connection, data: Callable[[int], bytes], times: int) -> bool:
    """Send so often; whether the proxy ended the connection meanwhile."""
    connection.sock.settimeout(60)
    for number in range(times):
        try:
            connection.send(data(number))
        except OSError:
            return True
    return False


def ended(front: Edge, data: Callable[[int], bytes], times: int) -> None:
    """The flood ends the connection that it comes on."""
    with Connection(front.port) as connection:
        if not pushed(connection, data, times):
            until_closed(connection)


def test_rapid_reset(front: Edge) -> None:
    """CVE-2023-44487: streams that are opened and reset at once."""
    head = block(request("/"))

    def one(number: int) -> bytes:
        stream = 2 * number + 1
        opened = frame(HEADERS, END_STREAM | END_HEADERS, stream, head)
        return opened + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")

    ended(front, lambda n: b"".join(one(100 * n + m) for m in range(100)), 500)


def test_continuation_flood(front: Edge) -> None:
    """CVE-2024-27316: a head that never ends."""
    junk = block([("x", "y" * 4000)])

    def one(number: int) -> bytes:
        if number == 0:
            return frame(HEADERS, END_STREAM, 1, block(request("/")))
        return frame(CONTINUATION, 0, 1, junk) * 4

    ended(front, one, 4000)


def test_empty_continuations(front: Edge) -> None:
    """The same without a byte of header."""

    def one(number: int) -> bytes:
        if number == 0:
            return frame(HEADERS, END_STREAM, 1, block(request("/")))
        return frame(CONTINUATION, 0, 1) * 1000

    ended(front, one, 1000)


@pytest.mark.parametrize(
    "flood",
    [frame(PING, payload=b"12345678"), frame(SETTINGS, payload=b"\0\x03\0\0\0\x64")],
    ids=["ping", "settings"],
)
def test_answers_that_nobody_reads(front: Edge, flood: bytes) -> None:
    """CVE-2019-9512, CVE-2019-9515: each frame asks for an answer; none is read."""
    with Connection(front.port) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sock.settimeout(3)
        with contextlib.suppress(OSError):
            for _ in range(400):
                connection.send(flood * 1000)


def test_window_updates_without_reason(front: Edge) -> None:
    """The window overflows: the connection ends (RFC 9113, 6.9.1)."""
    with Connection(front.port) as connection:
        connection.send(frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"))
        assert until_closed(connection) == 3


def test_empty_data_frames(front: Edge) -> None:
    """CVE-2019-9518: frames without content, without an end."""
    with Connection(front.port) as connection:
        connection.send(frame(HEADERS, END_HEADERS, 1, block(request("/", "POST"))))
        connection.sock.settimeout(3)
        with contextlib.suppress(OSError):
            for _ in range(200):
                connection.send(frame(DATA, 0, 1) * 1000)


def test_a_hpack_bomb(front: Edge) -> None:
    """One entry of the dynamic table, named thousands of times."""
    entry = b"\x40" + frames.integer(1) + b"x" + frames.integer(3900) + b"y" * 3900
    named = b"\xbe" * 12_000
    with Connection(front.port) as connection:
        connection.send(
            frame(HEADERS, END_STREAM | END_HEADERS, 1, block(request("/")) + entry + named)
        )
        status, _ = connection.answer(1)
    assert status in ("431", "reset", "goaway", "closed"), status


@pytest.mark.parametrize("count", [2_000, 50_000])
def test_a_header_bomb(front: Edge, count: int) -> None:
    """More header bytes than are allowed, over HTTP/1.1."""
    with front.connect() as sock:
        with contextlib.suppress(OSError):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X-A: bbbbbbbbbbbbb\r\n" * count)
            sock.sendall(b"\r\n")
        text = b""
        with contextlib.suppress(OSError):
            text = sock.recv(1000)
    assert not text.startswith(b"HTTP/1.1 200"), text


def test_a_line_without_end(front: Edge) -> None:
    """A request line of megabytes."""
    with front.connect() as sock:
        text = b""
        with contextlib.suppress(OSError):
            sock.sendall(b"GET /" + b"a" * (8 * MEBI))
        with contextlib.suppress(OSError):
            text = sock.recv(1000)
    assert not text.startswith(b"HTTP/1.1 200"), text


def test_slow_heads(front: Edge) -> None:
    """Slowloris: 200 heads that go on by a byte; each is ended, others are served."""
    with ExitStack() as stack:
        slow = [stack.enter_context(front.connect()) for _ in range(200)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX-A: ")
        served(front)
        open_ = set(slow)
        deadline = time.monotonic() + 60
        while open_:
            assert time.monotonic() < deadline, f"{len(open_)} slow heads are still waited for"
            for sock in list(open_):
                sock.setblocking(False)
                try:
                    sock.send(b"a")
                    if sock.recv(1000) == b"":
                        open_.discard(sock)
                except BlockingIOError:
                    pass
                except OSError:
                    open_.discard(sock)
            time.sleep(0.1)


SILENCE = "proxy: no deadline for the first bytes of a connection (protocol detection waits)"


@pytest.mark.parametrize("begun", [b"", frames.PREFACE[:20]], ids=["nothing", "half a preface"])
def test_connections_that_do_not_go_on(
    front: Edge, request: pytest.FixtureRequest, begun: bytes
) -> None:
    """Neither HTTP/1.1 nor HTTP/2 is told yet: such a connection is ended."""
    known_fault(request, SILENCE)
    with front.connect(timeout=8 * HEADER_TIMEOUT_MS / 1000) as sock:
        sock.sendall(begun)
        with contextlib.suppress(ConnectionError):
            while sock.recv(65536):
                pass


def test_many_connections_that_come_and_go(front: Edge) -> None:
    for _ in range(20):
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(front.connect())


def test_streams_beyond_the_limit_are_refused(front: Edge) -> None:
    """More streams at once than SETTINGS allow: refused, not queued."""
    head = block(request("/", "POST"))
    with Connection(front.port) as connection:
        for number in range(1200):
            try:
                connection.send(frame(HEADERS, END_HEADERS, 2 * number + 1, head))
            except OSError:
                return
        refused = 0
        while found := connection.next():
            refused += found.kind == RST_STREAM
            if found.kind == GOAWAY or refused > 100:
                return
    assert refused
