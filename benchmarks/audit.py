"""What auditing costs: CPU of the server for each request, without it and at two levels.

    python -m benchmarks.audit [--requests 2000] [--rounds 3]

One client creates ConfigMaps and reads them on one kept connection; the server's CPU time comes
from ``/proc/PID/stat``. Paired: each round asks the same of a fresh server.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from tests.peers.http import Client
from tests.peers.ours import our_server

LEVELS = ("off", "Metadata", "RequestResponse")
_WARM = 200


def seconds(pid: int) -> float:
    """CPU seconds that a process used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def measured(level: str, requests: int) -> tuple[float, float]:
    """Microseconds of the server's CPU for a create and for a get."""
    with tempfile.TemporaryDirectory(prefix="cw-audit-") as name:
        directory = Path(name)
        flags = []
        if level != "off":
            policy = directory / "policy.yaml"
            head = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}
            policy.write_text(json.dumps({**head, "rules": [{"level": level}]}))
            flags = [f"--audit-policy={policy}"]
        with our_server(directory / "state", flags=flags) as cluster, Client(cluster) as client:
            pid = cluster.pids["apiserver"]
            path = "/api/v1/namespaces/default/configmaps"

            def create(count: int, prefix: str) -> None:
                for number in range(count):
                    body = {"metadata": {"name": f"{prefix}-{number}"}, "data": {"a": "b" * 100}}
                    assert client.send("POST", path, body).status == 201

            create(_WARM, "warm")
            start = seconds(pid)
            create(requests, "c")
            middle = seconds(pid)
            for number in range(requests):
                assert client.send("GET", f"{path}/c-{number}").status == 200
            end = seconds(pid)
    return (middle - start) / requests * 1e6, (end - middle) / requests * 1e6


def main() -> None:
    """Print one line for each level."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    words.add_argument("--requests", type=int, default=2000)
    words.add_argument("--rounds", type=int, default=3)
    options = words.parse_args()
    found: dict[str, list[tuple[float, float]]] = {level: [] for level in LEVELS}
    for _ in range(options.rounds):
        for level in LEVELS:
            found[level].append(measured(level, options.requests))
    for level in LEVELS:
        create = statistics.median(one[0] for one in found[level])
        get = statistics.median(one[1] for one in found[level])
        print(f"{level:16} create {create:7.0f} µs   get {get:7.0f} µs")


if __name__ == "__main__":
    main()
