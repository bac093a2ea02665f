"""What a proxy is asked to do, and how it is started; the same words for every peer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tests.peers.pki import Authority
from tests.peers.processes import Program, free_port, running, start

DOMAIN = "cluster.local"
UPSTREAM_NAME = "upstream.test"
UPSTREAM_ID = f"spiffe://{DOMAIN}/ns/default/sa/upstream"
PROXY_ID = f"spiffe://{DOMAIN}/ns/default/sa/proxy"
STREAMS = 20_000
"""Streams of one client connection that a proxy lets through."""
Front = Literal["h1", "h2"]
Upstream = Literal["h1", "h2", "grpc", "tls-h1", "tls-h2", "tls-grpc"]


@dataclass(frozen=True, slots=True)
class Task:
    """One proxy's work: a clear listener for ``front``, requests to the upstream by ``upstream``.

    ``grpc`` is HTTP/2 too; nginx needs to be told. Ports are on 127.0.0.1; ``secure`` is the
    upstream's port with mutual TLS.
    """

    front: Front
    upstream: Upstream
    clear: int
    secure: int
    authority: Authority
    directory: Path

    @property
    def tls(self) -> bool:
        """Mutual TLS to the upstream."""
        return self.upstream.startswith("tls-")

    @property
    def spoken(self) -> str:
        """What the upstream is spoken to in: ``h1`` or ``h2``."""
        return "h1" if self.upstream.endswith("h1") else "h2"

    @property
    def port(self) -> int:
        """The upstream's port."""
        return self.secure if self.tls else self.clear

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The proxy's own certificate and key."""
        return self.authority.workload("proxy", PROXY_ID, "proxy.test")


@dataclass(frozen=True, slots=True)
class Launch:
    """A command and what its environment has more."""

    words: Sequence[str | Path]
    environment: dict[str, str] = field(default_factory=dict)


class Peer(Protocol):
    """A kind of proxy."""

    name: str

    def launch(self, task: Task, listen: int) -> Launch:
        """Write the configuration for a listener on port ``listen``; how it is run.

        Raises:
            Unavailable: the program is not here.
            Unsupported: it cannot do this.
        """
        ...


class Unsupported(Exception):
    """A peer cannot do what a task asks; the text says what."""


@dataclass(slots=True)
class Running:
    """A proxy that serves."""

    name: str
    port: int
    program: Program

    @property
    def pids(self) -> list[int]:
        """The process and its children: a worker may be one."""
        return [self.program.pid, *children(self.program.pid)]


def children(pid: int) -> list[int]:
    """All below a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(int(child))]
    return found


@contextmanager
def serving(peer: Peer, task: Task, prefix: Sequence[str] = ()) -> Iterator[Running]:
    """A ready proxy. ``prefix`` goes before its command (``taskset -c 0``).

    Raises:
        Unavailable, Unsupported: see ``Peer.launch``.
        NotStarted: it did not become ready.
    """
    ports: list[int] = []

    def make() -> tuple[Program, Callable[[], bool]]:
        ports.append(free_port())
        task.directory.mkdir(parents=True, exist_ok=True)
        launch = peer.launch(task, ports[-1])
        program = Program(
            [*prefix, *launch.words],
            task.directory / f"{peer.name}.log",
            environment=launch.environment,
        )
        return program, lambda: answers(ports[-1], task.front)

    with running(start(make)) as program:
        yield Running(peer.name, ports[-1], program)


def answers(port: int, front: Front, timeout: float = 5) -> bool:
    """Whether a request gets its first bytes of an answer now (200 for HTTP/1.1)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as sock:
            if front == "h1":
                sock.sendall(b"GET / HTTP/1.1\r\nHost: upstream.test\r\n\r\n")
                return sock.recv(64).startswith(b"HTTP/1.1 200")
            sock.sendall(PREFACE + FIRST_STREAM)
            return _answered(sock)
    except OSError:
        return False


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
# GET http / with authority "upstream.test", in HPACK without a dynamic table, END_STREAM.
_BLOCK = b"\x82\x86\x84\x01\x0dupstream.test"
FIRST_STREAM = len(_BLOCK).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x01" + _BLOCK


def _answered(sock: socket.socket) -> bool:
    """Whether the first HEADERS frame of stream 1 has ``:status 200`` (static index 8)."""
    text = b""
    while True:
        part = sock.recv(16384)
        if not part:
            return False
        text += part
        while len(text) >= 9 and len(text) >= 9 + int.from_bytes(text[:3], "big"):
            length, kind = int.from_bytes(text[:3], "big"), text[3]
            frame, text = text[9 : 9 + length], text[9 + length :]
            if kind == 1:
                return b"\x88" in frame[:8]
            if kind in (3, 7):
                return False
