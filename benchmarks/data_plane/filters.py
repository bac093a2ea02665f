"""What a Python filter costs: those that it is for, and those that it is not for."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.data_plane.bench import Bench
from benchmarks.data_plane.figures import OURS
from benchmarks.data_plane.load import Load, Outcome, run
from benchmarks.data_plane.process import cpu_ns
from tests.peers.build import Unavailable
from tests.peers.data_plane import ours
from tests.peers.data_plane.places import Launch, Task, Unsupported, serving
from tests.peers.processes import NotStarted

FILTER = '''"""Adds a header."""

from cloudwright.proxy import Filter, Match, Request, Response


class AddHeader(Filter):
    match = Match(path="/filtered")

    def on_response(self, request: Request, response: Response) -> None:
        response.headers["x-filtered"] = "yes"
'''
ROW = "Python filter, added P50 µs"
OTHERS = "Python filter, CPU of other requests, × without"
ONE_BY_ONE = Load(requests=3000, connections=1)
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Filtering:
    """Ours with a folder of filters."""

    folder: Path
    name: str = OURS

    def launch(self, task: Task, listen: int) -> Launch:
        """See ``Peer``."""
        plain = ours.Ours().launch(task, listen)
        more = ["--filters", self.folder, "--python", sys.executable]
        return Launch([*plain.words, *more], plain.environment)


def filters(bench: Bench) -> None:
    """One request after the other, with the filter and past it; and the CPU time of others."""
    if OURS not in bench.peers:
        return
    folder = bench.fresh()
    folder.mkdir(parents=True)
    (folder / "add_header.py").write_text(FILTER)
    try:
        with (
            bench.upstream() as upstream,
            serving(Filtering(folder), bench.task(upstream, "h1", "h1"), bench.proxy_core) as with_,
            serving(ours.Ours(), bench.task(upstream, "h1", "h1"), bench.proxy_core) as without,
        ):
            wait_for_filter(with_.port)
            for _ in range(bench.rounds):
                met = _p50(bench, "/filtered", with_.port)
                past = _p50(bench, "/", with_.port)
                bench.figures.add(ROW, OURS, met - past)
                costs = []
                for proxy in (with_, without):
                    before = cpu_ns([proxy.program.pid])
                    done = run(Load(), proxy.port, bench.load_core)
                    costs.append((cpu_ns([proxy.program.pid]) - before) / done.requests)
                bench.figures.add(OTHERS, OURS, costs[0] / costs[1])
    except (Unavailable, Unsupported, NotStarted) as error:
        bench.figures.note(ROW, f"{OURS}: {error}")


def _p50(bench: Bench, path: str, port: int) -> float:
    outcome: Outcome = run(replace(ONE_BY_ONE, path=path), port, bench.load_core, times=True)
    return outcome.percentile(0.5)


def wait_for_filter(port: int) -> None:
    """Until an answer has the filter's header.

    Raises:
        Unsupported: none has.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    text = b""
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(b"GET /filtered HTTP/1.1\r\nHost: h\r\n\r\n")
            text = sock.recv(4096)
        if b"x-filtered: yes" in text.lower():
            return
        time.sleep(0.05)
    raise Unsupported(f"the filter did not take part in {PATIENCE_SECONDS:.0f} s: {text[:200]!r}")
