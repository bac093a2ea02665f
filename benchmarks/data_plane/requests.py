"""CPU time per request, by protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.data_plane.bench import Bench
from benchmarks.data_plane.load import Load, LoadFailed, run
from benchmarks.data_plane.process import cpu_ns
from tests.peers.data_plane.places import Front, Upstream


@dataclass(frozen=True, slots=True)
class Case:
    """A row: what clients and upstream speak, and the load."""

    row: str
    front: Front
    upstream: Upstream
    load: Load
    other: Mapping[str, Upstream] = field(default_factory=dict)
    """Peers that can speak to the upstream in another way only."""


H2_LOAD = Load("h2", requests=20_000, connections=8, streams=100)
GRPC_LOAD = Load("h2", requests=20_000, connections=8, streams=100, grpc=True)
CASES = {
    "h1": Case("HTTP/1.1", "h1", "h1", Load()),
    "h1-mtls": Case("HTTP/1.1 → mTLS", "h1", "tls-h1", Load(), {"mesh": "tls-h2"}),
    "h2": Case("HTTP/2", "h2", "h2", H2_LOAD, {"nginx": "h1", "mesh": "tls-h2"}),
    "grpc": Case("gRPC", "h2", "grpc", GRPC_LOAD, {"mesh": "tls-grpc"}),
    "grpc-mtls": Case("gRPC → mTLS", "h2", "tls-grpc", GRPC_LOAD),
}


def per_request(bench: Bench, case: Case) -> None:
    """CPU microseconds per request and requests a second."""
    row = f"{case.row}, CPU µs/request"
    with (
        bench.upstream() as upstream,
        bench.proxies(row, upstream, case.front, case.upstream, case.other) as proxies,
    ):
        for name, spoken in case.other.items():
            if name in proxies:
                bench.figures.note(row, f"{name} speaks {spoken} to the upstream")
        warm = replace(case.load, requests=case.load.requests // 10)
        for name, proxy in list(proxies.items()):
            try:
                run(warm, proxy.port, bench.load_core)
            except LoadFailed as error:
                bench.figures.note(row, f"{name}: {error}")
                del proxies[name]
        for _, name in bench.turns(list(proxies)):
            proxy = proxies[name]
            before = cpu_ns(proxy.pids)
            try:
                outcome = run(case.load, proxy.port, bench.load_core)
            except LoadFailed as error:
                bench.figures.note(row, f"{name}: {error}")
                continue
            used = (cpu_ns(proxy.pids) - before) / 1000
            bench.figures.add(row, name, used / outcome.requests)
            bench.figures.add(f"{case.row}, requests/s", name, outcome.rate)
