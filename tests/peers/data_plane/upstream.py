"""The upstream behind every peer (``benchmarks/programs/data_plane/upstream``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.build import built
from tests.peers.data_plane.places import UPSTREAM_ID, UPSTREAM_NAME, answers
from tests.peers.pki import Authority
from tests.peers.processes import Program, free_port, running, start


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream: its clear port and the one with mutual TLS."""

    clear: int
    secure: int
    program: Program


@contextmanager
def upstream(
    directory: Path,
    authority: Authority,
    prefix: Sequence[str] = (),
    hold: str = "3s",
    size: int = 1024,
) -> Iterator[Upstream]:
    """A ready upstream; ``hold`` is how long held answers wait, ``size`` is the bytes of others.

    Raises:
        Unavailable: it is not built.
    """
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = authority.workload("upstream", UPSTREAM_ID, UPSTREAM_NAME)
    ports: list[tuple[int, int]] = []

    def make() -> tuple[Program, Callable[[], bool]]:
        ports.append((free_port(), free_port()))
        clear, secure = ports[-1]
        words = [
            *(*prefix, built("upstream"), "-hold", hold, "-size", str(size)),
            *("-clear", f"127.0.0.1:{clear}", "-tls", f"127.0.0.1:{secure}"),
            *("-cert", certificate, "-key", key, "-ca", authority.file),
        ]
        program = Program(words, directory / "upstream.log", environment={"GOMAXPROCS": "1"})
        return program, lambda: answers(clear, "h1")

    with running(start(make)) as program:
        yield Upstream(*ports[-1], program)
