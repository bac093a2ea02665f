"""The time a proxy adds at a fixed rate, and the time until a new process answers."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import replace

from benchmarks.data_plane.bench import DIRECT, KINDS, Bench
from benchmarks.data_plane.figures import OURS
from benchmarks.data_plane.load import Load, LoadFailed, run
from benchmarks.data_plane.process import own_core
from tests.peers.build import Unavailable
from tests.peers.data_plane.places import Peer, Task, Unsupported
from tests.peers.processes import free_port

PACED_SECONDS = 3.0
STARTS = 5
REQUEST = b"GET / HTTP/1.1\r\nHost: upstream.test\r\n\r\n"


def added_p99(bench: Bench) -> None:
    """P99 through a peer and through ours at half of the peer's maximum, less P99 without a proxy.

    HTTP/1.1, 64 connections.
    """
    load = Load()
    with (
        bench.upstream() as upstream,
        bench.proxies("added P99, µs", upstream, "h1", "h1", {"mesh": "tls-h2"}) as proxies,
    ):
        ours = [name for name in (OURS, "mesh") if name in proxies]
        for peer in [name for name in ("nginx", "haproxy") if name in proxies]:
            row = f"added P99 at half of {peer}'s maximum, µs"
            most = run(replace(load, requests=20_000), proxies[peer].port, bench.load_core).rate
            rate = most / 2
            paced = replace(load, requests=int(rate * PACED_SECONDS))
            for _ in range(bench.rounds):
                floor = _p99(bench, paced, upstream.clear, rate)
                for name in (peer, *ours):
                    try:
                        found = _p99(bench, paced, proxies[name].port, rate)
                    except LoadFailed as error:
                        bench.figures.note(row, f"{name}: {error}")
                        continue
                    bench.figures.add(row, name, max(found - floor, 1.0))
                bench.figures.add(row, DIRECT, floor)
            bench.figures.note(row, f"at {rate:,.0f} requests/s; {DIRECT} is its whole P99")


def _p99(bench: Bench, load: Load, port: int, rate: float) -> float:
    return run(load, port, bench.load_core, rate=rate, times=True).percentile(0.99)


def start(bench: Bench) -> None:
    """From exec to the first 200, with a clear upstream."""
    row = "exec → first 200, ms"
    with bench.upstream() as upstream:
        for number in range(STARTS * bench.rounds):
            for name in bench.peers if number % 2 == 0 else list(reversed(bench.peers)):
                spoken = "tls-h2" if name == "mesh" else "h1"
                task = bench.task(upstream, "h1", spoken)
                task.directory.mkdir(parents=True)
                try:
                    value = _first_answer(bench, KINDS[name](), task)
                except (Unavailable, Unsupported) as error:
                    bench.figures.note(row, f"{name}: {error}")
                    continue
                bench.figures.add(row, name, value)


def _first_answer(bench: Bench, peer: Peer, task: Task) -> float:
    port = free_port()
    launch = peer.launch(task, port)
    words = [str(word) for word in launch.words]
    environment = {**os.environ, **launch.environment}
    with own_core(bench.proxy_core):
        begun = time.perf_counter()
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        while not _answered(port):
            if process.poll() is not None or time.perf_counter() - begun > 30:
                raise Unavailable(f"it did not answer: {words}")
            time.sleep(0.0002)
        return (time.perf_counter() - begun) * 1000
    finally:
        process.kill()
        process.wait()


def _answered(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(REQUEST)
            return sock.recv(16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
