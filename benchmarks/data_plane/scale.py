"""10,000 routes and 100,000 endpoints: memory, a new set applied, one endpoint changed.

The update's time is from the file's rename to the admin socket's answer that it is applied; load
runs meanwhile at a rate that leaves the core room.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.data_plane.bench import Bench
from benchmarks.data_plane.load import Load, Outcome, run
from benchmarks.data_plane.process import sizes
from tests.peers.data_plane.ours import Mesh, route, service
from tests.peers.data_plane.places import DOMAIN, Task, serving
from tests.peers.data_plane.upstream import Upstream

ROUTES = 10_000
ENDPOINTS_EACH = 10
RATE = 500.0
SECONDS = 6.0
ROW = "10,000 routes + 100,000 endpoints"


def scale(bench: Bench) -> None:
    """The mesh's gateway with the snapshot file, which the platform writes."""
    with bench.upstream() as upstream:
        for _ in range(bench.rounds):
            _measure(bench, upstream)


def _measure(bench: Bench, upstream: Upstream) -> None:
    task = bench.task(upstream, "h1", "tls-h2")
    with serving(Mesh(), task, bench.proxy_core) as proxy:
        mesh = task.directory / "mesh"
        versions = iter(range(2, 1000))
        whole = snapshot(task)
        publish(mesh, whole, next(versions))
        time.sleep(1)
        bench.figures.add(f"{ROW}, PSS MB", "mesh", sizes(proxy.pids)["Pss"])
        load = Load(requests=int(RATE * SECONDS), connections=8)
        quiet = run(load, proxy.port, bench.load_core, rate=RATE, times=True)
        found: list[Outcome] = []
        worker = threading.Thread(
            target=lambda: found.append(
                run(load, proxy.port, bench.load_core, rate=RATE, times=True)
            )
        )
        worker.start()
        for part, changed in changes(whole):
            spent = publish(mesh, changed, next(versions))
            bench.figures.add(f"{ROW}, {part} ms", "mesh", spent * 1000)
            time.sleep(0.5)
        worker.join()
        worst = max(found[0].times) / quiet.percentile(0.99)
        bench.figures.add("slowest request during updates, × P99 without", "mesh", worst)


def changes(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every endpoint moved, and one endpoint moved."""
    for number in (1, 2):
        moved = [
            service(f"s{index}", places(index, number)) if index else whole["services"][0]
            for index in range(ROUTES)
        ]
        yield "full update", {**whole, "services": moved}
        one = [*moved]
        one[-1] = service(f"s{ROUTES - 1}", places(ROUTES - 1, 100 + number))
        yield "one endpoint", {**whole, "services": one}


def snapshot(task: Task) -> dict[str, Any]:
    """All routes by prefix, each to a Service of its own; the first one is the upstream."""
    services = [service(f"s{index}", places(index, 0)) for index in range(1, ROUTES)]
    first = service("s0", [("127.0.0.1", task.port)])
    routes = [route(f"s{index}", f"/r{index}") for index in range(1, ROUTES)]
    return {
        "version": 1,
        "trust_domain": DOMAIN,
        "services": [first, *services],
        "routes": [*routes, route("s0", "/")],
    }


def places(index: int, generation: int) -> list[tuple[str, int]]:
    """Endpoints that exist nowhere: nothing is sent to them."""
    number = index * ENDPOINTS_EACH
    return [
        (f"10.{(number + at) >> 16 & 255}.{(number + at) >> 8 & 255}.{(number + at) & 255}", 80)
        if generation == 0
        else (f"10.{generation}.{(number + at) >> 8 & 255}.{(number + at) & 255}", 1024 + index)
        for at in range(ENDPOINTS_EACH)
    ]


def publish(mesh: Path, content: dict[str, Any], version: int) -> float:
    """Write it as the platform does; seconds until it is applied."""
    text = json.dumps({**content, "version": version}).encode()
    new = mesh / ".snapshot.json.new"
    new.write_bytes(text)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(mesh / "admin.sock"))
        begun = time.perf_counter()
        new.rename(mesh / "snapshot.json")
        sock.sendall(
            f"GET /wait?version={version}&timeout_ms=60000 HTTP/1.1\r\n"
            "Host: proxy\r\nConnection: close\r\n\r\n".encode()
        )
        answer = sock.recv(4096)
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise OSError(f"the snapshot was not applied: {answer[:300]!r}")
        return time.perf_counter() - begun
