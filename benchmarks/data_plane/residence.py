"""Memory: idle, by idle connection, with 10,000 streams on one connection, and after these."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import ExitStack

from benchmarks.data_plane.bench import KINDS, Bench
from benchmarks.data_plane.load import Load, LoadFailed
from benchmarks.data_plane.process import sizes
from tests.peers.build import Unavailable
from tests.peers.data_plane.places import PREFACE, Running, Unsupported, answers, serving
from tests.peers.processes import NotStarted

SETTLE_SECONDS = 1.0
CONNECTIONS = 1000
STREAMS = 10_000
HOLD_SECONDS = 8.0
AFTER_SECONDS = 5.0
REQUEST = b"GET / HTTP/1.1\r\nHost: upstream.test\r\n\r\n"
UNLIMITED = 1 << 31


def idle(bench: Bench) -> None:
    """RSS and PSS a second after the first request, its mTLS connection still there."""
    with bench.upstream() as upstream:
        for _ in range(bench.few):
            with bench.proxies(
                "idle, RSS MB", upstream, "h1", "tls-h1", {"mesh": "tls-h2"}
            ) as proxies:
                time.sleep(SETTLE_SECONDS)
                for name, proxy in proxies.items():
                    for kind, value in sizes(proxy.pids).items():
                        bench.figures.add(f"idle, {kind.upper()} MB", name, value)


def connections(bench: Bench) -> None:
    """Growth by 1,000 HTTP/1.1 connections that had one request each and are idle."""
    row = "idle connection, KB"
    with bench.upstream() as upstream:
        for _ in range(bench.few):
            with bench.proxies(row, upstream, "h1", "h1", {"mesh": "tls-h2"}) as proxies:
                for name, proxy in proxies.items():
                    for _ in range(10):  # what the first requests need is no connection's memory
                        answers(proxy.port, "h1")
                    before = sizes(proxy.pids)["Pss"]
                    with ExitStack() as stack:
                        for _ in range(CONNECTIONS):
                            stack.enter_context(_used_connection(proxy.port))
                        time.sleep(SETTLE_SECONDS)
                        grown = sizes(proxy.pids)["Pss"] - before
                    bench.figures.add(row, name, grown * 1024 / CONNECTIONS)


def _used_connection(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 30)
    sock.sendall(REQUEST)
    text = b""
    while b"\r\n\r\n" not in text or len(text.split(b"\r\n\r\n", 1)[1]) < 1024:
        part = sock.recv(4096)
        if not part:
            raise LoadFailed(f"the connection was closed after {text[:100]!r}")
        text += part
    return sock


def burst(bench: Bench) -> None:
    """10,000 streams at once on one connection, each waiting for the upstream; and after them."""
    row = f"{STREAMS:,} streams, PSS MB"
    after = f"5 s after {STREAMS:,} streams, × before"
    with bench.upstream(hold=f"{HOLD_SECONDS:.0f}s") as upstream:
        for _, name in bench.turns(bench.peers, bench.few):
            spoken = "h1" if name == "nginx" else "tls-h2" if name == "mesh" else "h2"
            task = bench.task(upstream, "h2", spoken)
            try:
                with serving(KINDS[name](), task, bench.proxy_core) as proxy:
                    most, ratio = _burst(bench, proxy)
            except (Unavailable, Unsupported, NotStarted, LoadFailed) as error:
                bench.figures.note(row, f"{name}: {error}")
                continue
            bench.figures.add(row, name, most)
            bench.figures.add(after, name, ratio)


def _burst(bench: Bench, proxy: Running) -> tuple[float, float]:
    if (allowed := allowed_streams(proxy.port)) < STREAMS:
        raise Unsupported(f"lets {allowed} streams at once on a connection")
    time.sleep(SETTLE_SECONDS)
    before = sizes(proxy.pids)["Pss"]
    load = Load("h2", STREAMS, connections=1, streams=STREAMS, path="/hold")
    words = [*bench.load_core, *load.words(proxy.port, bench.directory)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + HOLD_SECONDS + 30
        most = 0.0
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                raise LoadFailed(f"{STREAMS:,} held requests were not answered together")
            most = max(most, sizes(proxy.pids)["Pss"])
            time.sleep(0.1)
        said = process.stdout.read() if process.stdout else ""
    if f"{STREAMS} succeeded" not in said:
        raise LoadFailed(" / ".join(line for line in said.splitlines() if "requests:" in line))
    time.sleep(AFTER_SECONDS)
    return most, sizes(proxy.pids)["Pss"] / before


def allowed_streams(port: int) -> int:
    """What a proxy's SETTINGS say of concurrent streams; much when they say nothing."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(PREFACE)
        text = b""
        while len(text) < 9 or len(text) < 9 + int.from_bytes(text[:3], "big"):
            part = sock.recv(4096)
            if not part:
                raise LoadFailed("the connection was closed before SETTINGS")
            text += part
    payload = text[9 : 9 + int.from_bytes(text[:3], "big")]
    settings = {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload), 6)
    }
    return settings.get(3, UNLIMITED)
