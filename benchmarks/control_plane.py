"""Our API server beside kube-apiserver + etcd (and + kine), in the same run, by paired rounds.

    python benchmarks/control_plane.py                      # every row, a few minutes
    python benchmarks/control_plane.py --rows create get    # some of them
    python benchmarks/control_plane.py --json figures.json --rounds 4 --updates 1000000

Rounds go A B B A, so that a change of the machine's speed hits both; a row's ratio is the median of
the pairs' ratios. Auth (client certificates), RBAC, validation, admission and managedFields are on;
etcd and the flags of kube-apiserver are at their defaults, kine and ours sync each commit to disk.
The load is ``benchmarks/load`` (Go); ``scripts/peers`` builds it and the peers. HTTP/1.1 with
keep-alive, one connection a client or watch, unless a row says HTTP/2 (there, 100 watches share
one); objects are ConfigMaps of a kilobyte. An event's time ends when the kernel has its bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.figures import OURS, REAL, Figures, table
from tests.peers.build import Unavailable, built
from tests.peers.cluster import ADMIN, MASTERS, Cluster
from tests.peers.http import Client
from tests.peers.ours import our_server
from tests.peers.processes import NotStarted, cpu_seconds, memory
from tests.peers.real import real_cluster

SETTLE_SECONDS = 5.0
PAUSE_SECONDS = 30.0
"""After which a store that is left alone should have given its space back."""
MEBI = 1 << 20
Result = dict[str, float]


def load(cluster: Cluster, operation: str, **flags: object) -> Result:
    """One run of the load generator, with the server's CPU microseconds a request."""
    before = {pid: cpu_seconds(pid) for pid in cluster.pids.values()}
    done = subprocess.run(
        command(cluster, operation, flags), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{cluster.name}: {done.stderr}")
    found: Result = json.loads(done.stdout)
    if found["failed"]:
        raise RuntimeError(f"{cluster.name}: {done.stdout}")
    used = sum(cpu_seconds(pid) - then for pid, then in before.items())
    found["server_us"] = used * 1e6 / found["count"]
    return found


def command(cluster: Cluster, operation: str, flags: dict[str, object]) -> list[str]:
    """The load generator's command line."""
    certificate, key = cluster.authority.client(ADMIN, (MASTERS,))
    words = [built("load"), "-host", f"{cluster.host}:{cluster.port}"]
    words += ["-ca", cluster.authority.file, "-cert", certificate, "-key", key]
    for name, value in flags.items():
        words += [f"-{name}={value}"]
    return [str(word) for word in (*words, operation)]


class Bench:
    """The servers of one run and what was measured."""

    def __init__(self, directory: Path, rounds: int, objects: int, updates: int) -> None:
        self.directory = directory
        self.rounds = rounds
        self.objects = objects
        self.updates = updates
        self.figures = Figures()
        self._fresh = 0

    @contextmanager
    def servers(self, store: str = "etcd") -> Iterator[tuple[Cluster, Cluster]]:
        """Theirs and ours, both running, empty."""
        self._fresh += 1
        base = self.directory / f"servers-{self._fresh}"
        with real_cluster(base / "real", store=store) as real, our_server(base / "ours") as ours:
            yield real, ours
        shutil.rmtree(base)

    def paired(
        self, work: Callable[[Cluster, int], Result], real: Cluster, ours: Cluster
    ) -> dict[str, list[Result]]:
        """``work(cluster, round)`` by A B B A; the results of each by round."""
        found: dict[str, list[Result]] = {REAL: [], OURS: []}
        for number in range(self.rounds):
            turn = [(REAL, real), (OURS, ours)]
            for name, cluster in turn if number % 2 == 0 else reversed(turn):
                found[name].append(work(cluster, number))
        return found

    def note(self, row: str, found: dict[str, list[Result]], field: str, scale: float = 1) -> None:
        """Keep one number of paired results as a row."""
        for name, results in found.items():
            for result in results:
                self.figures.add(row, name, result[field] * scale)

    # Rows

    def ready(self) -> None:
        """From exec to ready, on an empty store and on one with objects."""
        base = self.directory / "ready"
        made: dict[str, Callable[[], object]] = {
            REAL: lambda: real_cluster(base / "real"),
            OURS: lambda: our_server(base / "ours"),
        }
        for row, filled in (("ready, empty", False), ("ready, objects", True)):
            for start in made.values():
                with start() as cluster:  # type: ignore[attr-defined]
                    if filled:
                        fill(cluster, self.objects)
            for number in range(self.rounds):
                for name in (REAL, OURS) if number % 2 == 0 else (OURS, REAL):
                    if not filled:
                        empty(base)
                    begun = time.monotonic()
                    with made[name]():  # type: ignore[attr-defined]
                        self.figures.add(row, name, time.monotonic() - begun)

    def idle(self) -> None:
        """Memory at rest: API + store; theirs also with all controllers."""
        with self.servers() as (real, ours):
            settle()
            self._weigh("idle", real, ours)
        base = self.directory / "whole"
        with real_cluster(base, controllers=True) as real:
            settle()
            self._weigh("idle, whole", real)
        daemon(self.figures, self.directory / "daemon")

    def _weigh(self, row: str, *clusters: Cluster) -> None:
        for cluster in clusters:
            sizes = [memory(pid) for pid in cluster.pids.values()]
            for kind in ("Rss", "Pss"):
                total = sum(size[kind] for size in sizes) / MEBI
                self.figures.add(f"{row}, {kind}", cluster.name, total)

    def full(self) -> None:
        """Memory with objects and 1,000 watches."""
        with self.servers() as pair:
            for cluster in pair:
                fill(cluster, self.objects)
            for cluster in pair:
                words = command(cluster, "hold", {"watchers": 1000, "prefix": "fill"})
                with subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                ) as holder:
                    assert holder.stdin is not None
                    assert holder.stdout is not None
                    if not holder.stdout.readline():
                        raise RuntimeError(f"{cluster.name}: 1,000 watches could not be opened")
                    settle()
                    self._weigh("objects and watches", cluster)
                    holder.stdin.close()

    def create(self) -> None:
        """Durable creates with one client and with 32."""
        with self.servers() as pair:
            self._creates("", *pair)

    def _creates(self, more: str, real: Cluster, ours: Cluster) -> None:
        for clients, count in ((1, 600), (32, 3000)):
            found = self.paired(
                lambda cluster, number, clients=clients, count=count: load(
                    cluster, "create", clients=clients, count=count, prefix=f"c{clients}-{number}"
                ),
                real,
                ours,
            )
            row = f"create{more}, {clients} client{'s' if clients > 1 else ''}"
            self.note(f"{row}, /s", found, "per_second")
            self.note(f"{row}, P99 ms", found, "p99_us", 1e-3)
            self.note(f"{row}, server CPU µs", found, "server_us")

    def kine(self) -> None:
        """Creates against kube-apiserver on kine (SQLite)."""
        with self.servers("kine") as (real, ours):
            self._creates(" (kine)", real, ours)

    def get(self) -> None:
        """Gets with 32 clients, over HTTP/1.1 and, where it is spoken, HTTP/2."""
        with self.servers() as pair:
            for cluster in pair:
                fill(cluster, 1000)
            options = {"clients": 32, "count": 8000, "prefix": "fill", "objects": 1000}
            found = self.paired(lambda cluster, _: load(cluster, "get", **options), *pair)
            self.note("get, 32 clients, /s", found, "per_second")
            self.note("get, 32 clients, server CPU µs", found, "server_us")
            found = self.paired(lambda cluster, _: load(cluster, "get", h2=True, **options), *pair)
            self.note("get, 32 clients (HTTP/2), /s", found, "per_second")
            found = self.paired(
                lambda cluster, _: load(cluster, "get", **{**options, "clients": 1, "count": 2000}),
                *pair,
            )
            self.note("get, 1 client, /s", found, "per_second")

    def list(self) -> None:
        """A list of all objects."""
        with self.servers() as pair:
            for cluster in pair:
                fill(cluster, self.objects)
            found = self.paired(lambda cluster, _: load(cluster, "list", count=10), *pair)
            self.note("list, P50 ms", found, "p50_us", 1e-3)
            self.note("list, server CPU ms", found, "server_us", 1e-3)

    def watch(self) -> None:
        """From the start of a write to its event at each watcher."""
        with self.servers() as pair:
            for cluster in pair:
                fill(cluster, 1)
            for more, h2 in (("", False), (" (HTTP/2)", True)):
                for watchers, count in ((1, 200), (1000, 20)):
                    flags: dict[str, object] = {"watchers": watchers, "count": count, "h2": h2}
                    found = self.paired(
                        lambda cluster, _, flags=flags: load(
                            cluster, "watch", prefix="fill", **flags
                        ),
                        *pair,
                    )
                    row = f"write → event, {watchers} watchers{more}"
                    self.note(f"{row}, P50 ms", found, "p50_us", 1e-3)
                    self.note(f"{row}, P99 ms", found, "p99_us", 1e-3)

    def growth(self) -> None:
        """The store's size after many updates of 1,000 objects, over the size of live data."""
        with self.servers() as pair:
            for cluster in pair:
                fill(cluster, 1000)
                load(
                    cluster, "update", clients=32, count=self.updates, prefix="fill",
                    objects=1000, limit="60m",
                )  # fmt: skip
            time.sleep(PAUSE_SECONDS)
            for cluster in pair:
                with Client(cluster) as client:
                    live = len(client.send("GET", "/api/v1/namespaces/default/configmaps").body)
                store = cluster.directory / ("etcd" if cluster.name == REAL else "apiserver")
                size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
                row = f"store / live data after {self.updates:,} updates"
                self.figures.add(row, cluster.name, size / live)


def fill(cluster: Cluster, count: int) -> None:
    """Make ``count`` ConfigMaps ``fill-…``, by 16 clients."""
    load(cluster, "create", clients=min(16, count), count=count, prefix="fill")


def empty(base: Path) -> None:
    """Remove both stores; certificates and tokens stay."""
    for store in (base / "real" / "etcd", base / "ours" / "apiserver"):
        for file in store.glob("*" if store.name == "etcd" else "store.db*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def settle() -> None:
    """Let what was begun end, before something is weighed."""
    time.sleep(SETTLE_SECONDS)


def daemon(figures: Figures, state: Path) -> None:
    """Memory of the whole platform's daemon without pods, in a network namespace (root)."""
    from tests.machine import machine

    with machine(f"cwbench{state.parent.name[-6:].lower()}", state) as made:
        made.run("up")
        settle()
        size = memory(made.daemon)
        for kind in ("Rss", "Pss"):
            figures.add(f"idle, whole, {kind}", OURS, size[kind] / MEBI)


ROWS = ("ready", "idle", "full", "create", "kine", "get", "list", "watch", "growth")


def main() -> int:
    """Measure and print."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    words.add_argument("--rounds", type=int, default=2, help="pairs of runs of each row")
    words.add_argument("--objects", type=int, default=10_000)
    words.add_argument("--updates", type=int, default=20_000)
    words.add_argument("--json", type=Path, help="write every figure there")
    options = words.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="cwbench-") as directory:
        Path(directory).chmod(0o711)  # the platform's proxies run as another user
        bench = Bench(Path(directory), options.rounds, options.objects, options.updates)
        for row in options.rows:
            print(f"… {row}", file=sys.stderr, flush=True)
            try:
                getattr(bench, row)()
            except Unavailable as error:
                print(f"skipped: {row}: {error}")
            except (NotStarted, AssertionError, OSError, RuntimeError) as error:
                failed = True
                print(f"failed: {row}: {error}", file=sys.stderr)
            if options.json:
                options.json.write_text(json.dumps(bench.figures.as_dict(), indent=1))
    print(table(bench.figures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
