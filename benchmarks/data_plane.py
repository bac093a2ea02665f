"""Our gateway beside nginx, haproxy, Envoy and Go's ReverseProxy, in the same run, in turns.

    python benchmarks/data_plane.py                        # every row, about ten minutes
    python benchmarks/data_plane.py --rows h1 grpc --rounds 5 --peers haproxy ours
    python benchmarks/data_plane.py -o json > figures.json

Each proxy has one worker on the first core; upstream and load (h2load) share the second. What is
judged is the CPU time of all threads of a proxy per request, over bounded runs in turns A B C,
C B A; ratios are medians of the rounds' ratios. Bodies are 1 KB, gRPC messages 64 bytes, upstream
connections are kept. ``scripts/peers`` builds what Debian and PyPI do not have. ``mesh`` is our
gateway as the platform starts it: HTTP/2 with mutual TLS to every upstream.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.data_plane import filters, latency, residence, scale
from benchmarks.data_plane.bench import KINDS, Bench
from benchmarks.data_plane.figures import table
from benchmarks.data_plane.load import LoadFailed
from benchmarks.data_plane.requests import CASES, per_request
from tests.peers.build import Unavailable
from tests.peers.processes import NotStarted

ROWS: dict[str, Callable[[Bench], None]] = {
    "idle": residence.idle,
    "start": latency.start,
    **{name: lambda bench, case=case: per_request(bench, case) for name, case in CASES.items()},
    "connections": residence.connections,
    "burst": residence.burst,
    "p99": latency.added_p99,
    "scale": scale.scale,
    "filter": filters.filters,
}


def main() -> int:
    """Measure and print."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--peers", nargs="+", choices=list(KINDS), default=list(KINDS))
    words.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = words.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="cwbench-") as directory:
        bench = Bench(Path(directory), options.peers, options.rounds)
        for row in options.rows:
            print(f"… {row}", file=sys.stderr, flush=True)
            try:
                ROWS[row](bench)
            except Unavailable as error:
                print(f"skipped: {row}: {error}", file=sys.stderr)
            except (NotStarted, LoadFailed, OSError) as error:
                failed = True
                print(f"failed: {row}: {error}", file=sys.stderr)
        figures = bench.figures
    if options.output == "json":
        print(json.dumps(figures.as_dict(), indent=1, ensure_ascii=False))
    else:
        print(table(figures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
