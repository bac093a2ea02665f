"""10,000 routes and 100,000 endpoints: memory, a new set applied, one endpoint changed.

An update is applied when a request sees it: one route's only endpoint moves between two upstreams
whose answers differ, and is asked all the time. Load runs meanwhile at a rate that leaves the core
room. Files are written whole, as the platform and people do.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from benchmarks.data_plane.bench import Bench
from benchmarks.data_plane.figures import OURS
from benchmarks.data_plane.load import Load, Outcome, run
from benchmarks.data_plane.process import sizes
from tests.peers.build import Unavailable
from tests.peers.data_plane import ours
from tests.peers.data_plane.places import DOMAIN, Peer, Task, Unsupported, serving
from tests.peers.data_plane.upstream import Upstream

ROUTES = 10_000
ENDPOINTS_EACH = 10
RATE = 500.0
SECONDS = 12.0
PATIENCE_SECONDS = 60.0
OTHER_SIZE = 8
ROW = "10,000 routes + 100,000 endpoints"
Places = list[tuple[str, int]]


class Form(Protocol):
    """A kind of configuration of ours."""

    name: str
    peer: Peer

    def file(self, task: Task) -> Path:
        """What the proxy watches."""

    def content(self, task: Task, marker: int, generation: int) -> dict[str, Any]:
        """All of it, the marker's endpoint on that port."""


class MeshForm:
    """The snapshot that the platform writes."""

    name = "mesh"

    def __init__(self) -> None:
        self.peer: Peer = ours.Mesh()
        self._version = 1

    def file(self, task: Task) -> Path:
        """See ``Form``."""
        return task.directory / "mesh" / "snapshot.json"

    def content(self, task: Task, marker: int, generation: int) -> dict[str, Any]:
        """See ``Form``."""
        self._version += 1
        services = [
            ours.service(f"s{index}", places(index, generation)) for index in range(1, ROUTES)
        ]
        services.append(ours.service("marker", [("127.0.0.1", marker)]))
        services.append(ours.service("app", [("127.0.0.1", task.port)]))
        routes = [ours.route(f"s{index}", f"/r{index}") for index in range(1, ROUTES)]
        routes += [ours.route("marker", "/marker"), ours.route("app", "/")]
        return {
            "version": self._version,
            "trust_domain": DOMAIN,
            "services": services,
            "routes": routes,
        }


class FileForm:
    """The file of ``gateway run -c``."""

    name = OURS

    def __init__(self) -> None:
        self.peer: Peer = ours.Ours()

    def file(self, task: Task) -> Path:
        """See ``Form``."""
        return task.directory / "gateway.json"

    def content(self, task: Task, marker: int, generation: int) -> dict[str, Any]:
        """See ``Form``."""
        whole: dict[str, Any] = json.loads(self.file(task).read_text())
        host = whole["routes"][0]["virtual_hosts"][0]
        app = next(one for one in whole["clusters"] if one["name"] == "app")
        whole["clusters"] = [
            app,
            {**app, "name": "marker", "endpoints": [{"address": f"127.0.0.1:{marker}"}]},
        ]
        whole["clusters"] += [
            {
                "name": f"s{index}",
                "endpoints": [
                    {"address": f"{ip}:{port}"} for ip, port in places(index, generation)
                ],
            }
            for index in range(1, ROUTES)
        ]
        names = [(f"/r{index}", f"s{index}") for index in range(1, ROUTES)]
        host["routes"] = [
            {
                "match": {"path": {"prefix": prefix}},
                "action": {"forward": {"cluster": cluster}},
            }
            for prefix, cluster in [*names, ("/marker", "marker"), ("/", "app")]
        ]
        return whole


def scale(bench: Bench) -> None:
    """Every form that the peers of the run name."""
    with bench.upstream() as upstream, bench.upstream(size=OTHER_SIZE) as other:
        for form in (FileForm(), MeshForm()):
            if form.name not in bench.peers:
                continue
            for _ in range(bench.few):
                try:
                    _measure(bench, form, upstream, other)
                except (Unavailable, Unsupported) as error:
                    bench.figures.note(ROW, f"{form.name}: {error}")
                    break


def _measure(bench: Bench, form: Form, upstream: Upstream, other: Upstream) -> None:
    task = bench.task(upstream, "h1", "tls-h2" if form.name == "mesh" else "h1")
    ports = (task.port, other.secure if task.tls else other.clear)
    with serving(form.peer, task, bench.proxy_core) as proxy:
        update(form, task, proxy.port, form.content(task, ports[1], 0), OTHER_SIZE)
        time.sleep(1)
        bench.figures.add(f"{ROW}, PSS MB", form.name, sizes(proxy.pids)["Pss"])
        load = Load(requests=int(RATE * SECONDS), connections=8)
        quiet = run(load, proxy.port, bench.load_core, rate=RATE, times=True)
        found: list[Outcome] = []
        worker = threading.Thread(
            target=lambda: found.append(
                run(load, proxy.port, bench.load_core, rate=RATE, times=True)
            )
        )
        worker.start()
        for generation in (1, 2):
            for part, marker, made in (
                ("full update", 0, generation),
                ("one endpoint", 1, generation),
            ):
                content = form.content(task, ports[marker], made)
                spent = update(form, task, proxy.port, content, (1024, OTHER_SIZE)[marker])
                bench.figures.add(f"{ROW}, {part} ms", form.name, spent * 1000)
        worker.join()
        if not found:
            bench.figures.note(ROW, f"{form.name}: the load beside the updates failed")
            return
        worst = max(found[0].times) / quiet.percentile(0.99)
        bench.figures.add("slowest request during updates, × P99 without", form.name, worst)


def places(index: int, generation: int) -> Places:
    """Endpoints that exist nowhere: nothing is sent to them."""
    number = index * ENDPOINTS_EACH
    return [
        (
            f"10.{number + at >> 16 & 255}.{number + at >> 8 & 255}.{number + at & 255}",
            80 + generation,
        )
        for at in range(ENDPOINTS_EACH)
    ]


def update(form: Form, task: Task, port: int, content: dict[str, Any], size: int) -> float:
    """Write it by rename; seconds until the marker's answer has ``size`` bytes."""
    file = form.file(task)
    new = file.with_name(f".{file.name}.new")
    new.write_text(json.dumps(content))
    begun = time.perf_counter()
    new.rename(file)
    while not _marker(port, size):
        if time.perf_counter() - begun > PATIENCE_SECONDS:
            raise Unsupported(f"the update was not applied in {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.0002)
    return time.perf_counter() - begun


def _marker(port: int, size: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as sock:
            sock.sendall(b"GET /marker HTTP/1.0\r\nHost: h\r\n\r\n")
            text = b""
            while part := sock.recv(4096):
                text += part
    except OSError:
        return False
    head, _, body = text.partition(b"\r\n\r\n")
    return head.split(b" ", 2)[1:2] == [b"200"] and len(body) == size
