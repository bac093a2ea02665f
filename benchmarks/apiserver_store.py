"""The store of the API server beside bare SQLite and beside etcd, and the API's core on it.

Run: ``python benchmarks/apiserver_store.py [PART …] [--objects 10000] [--watchers 1000] [--updates
1000000]``. Parts: ``commit`` durable writes of about a kilobyte (``synchronous=FULL``) with one
and with 32 writers, by bare SQLite, by the store and by the store on a real etcd (when there is
one), in turns, so that a noisy disk meets all of them; ``size`` the file after many updates of
1,000 objects, without any manual step; ``block`` how long the event loop stands still while a long
list is read; ``core`` create, get, list and watch without HTTP.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import orjson

from cloudwright._base.clock import SystemClock
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.identity import ADMINISTRATORS, AdministratorsOnly, User
from cloudwright.apiserver.local import LocalTransport
from cloudwright.apiserver.store.interface import Compare, Store, Template, Txn, Write
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store
from cloudwright.client.transport import Request

PATH = "/api/v1/namespaces/default/configmaps"
TEXT = "x" * 1000
HEAD, TAIL = b'{"resourceVersion":"', b'","x":"' + TEXT.encode() + b'"}'
ROUNDS = 3


# --- durable writes


def bare(directory: Path, count: int, group: int) -> float:
    """Rows a second that SQLite itself writes durably in groups of ``group``."""
    file = Path(tempfile.mkdtemp(dir=directory)) / "bare.db"
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE, v BLOB)")
        start = time.perf_counter()
        for first in range(0, count, group):
            database.execute("BEGIN IMMEDIATE")
            for number in range(first, first + group):
                database.execute("INSERT INTO t (k, v) VALUES (?, ?)", (f"/b/{number:06}", TAIL))
            database.execute("COMMIT")
        seconds = time.perf_counter() - start
    database.close()
    return count / seconds


async def commits(store: Store, count: int, writers: int, prefix: str) -> float:
    """Guarded creates a second."""

    async def one(number: int) -> None:
        key = f"/b/{prefix}-{number:06}"
        outcome = await store.commit(Txn((Compare(key, 0),), Write(key, Template(HEAD, TAIL))))
        if outcome.record is None:
            raise SystemExit(f"{key} was not written")

    return await timed(count, writers, one)


def free_port() -> int:
    """A port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def on_etcd(directory: Path) -> AsyncIterator[Store | None]:
    """The store on an etcd of its own; ``None`` when there is no etcd on this machine."""
    built = sorted((Path.home() / ".cache/cloudwright").glob("peers/etcd-*/etcd"))
    program = str(built[-1]) if built else shutil.which("etcd")
    if program is None:
        yield None
        return
    from cloudwright.apiserver.store.etcd.config import EtcdConfig
    from cloudwright.apiserver.store.etcd.store import open_etcd

    port, other = free_port(), free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}"
    command = [program, "--data-dir", str(directory / "etcd"), "--listen-client-urls", client]
    command += ["--advertise-client-urls", client, "--listen-peer-urls", peer]
    command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    with subprocess.Popen([*command, "--log-level", "fatal"]) as process:
        try:
            async with open_etcd(EtcdConfig((f"127.0.0.1:{port}",)), SystemClock()) as store:
                yield store
        finally:
            process.terminate()


async def commit_part(directory: Path) -> None:
    """Print commits a second and ratios, best of some rounds taken in turns."""
    async with AsyncExitStack() as stack:
        config = StoreConfig(directory / "store.db")
        ours = await stack.enter_async_context(open_store(config, SystemClock()))
        etcd = await stack.enter_async_context(on_etcd(directory))
        for writers, count in ((1, 1000), (32, 6400)):
            found: dict[str, list[float]] = {"bare": [], "ours": [], "etcd": []}
            for turn in range(ROUNDS):
                found["bare"].append(bare(directory, count, writers))
                found["ours"].append(await commits(ours, count, writers, f"{writers}-{turn}"))
                if etcd is not None:
                    few = count // 4
                    found["etcd"].append(await commits(etcd, few, writers, f"{writers}-{turn}"))
            ratios = [o / b for o, b in zip(found["ours"], found["bare"], strict=True)]
            line = (
                f"durable creates/s, {writers:2} writers: bare SQLite {max(found['bare']):8,.0f}   "
                f"store {max(found['ours']):8,.0f}   ratio {statistics.median(ratios):.2f}"
            )
            if etcd is not None:
                ratios = [o / e for o, e in zip(found["ours"], found["etcd"], strict=True)]
                line += (
                    f"   on etcd {max(found['etcd']):8,.0f}   ratio {statistics.median(ratios):.1f}"
                )
            print(line)


# --- the file


async def size_part(directory: Path, updates: int) -> None:
    """Print the file's size during and after many updates of 1,000 objects."""
    path = directory / "size.db"
    largest = 0
    async with open_store(StoreConfig(path), SystemClock()) as store:

        async def one(number: int) -> None:
            nonlocal largest
            key = f"/b/{number * 7919 % 1000:04}"
            await store.commit(Txn((), Write(key, Template(HEAD, TAIL))))
            if number % 1000 == 0:
                largest = max(largest, path.stat().st_size)

        rate = await timed(updates, 128, one)
        live = store.statistics.live_bytes
        right_after = path.stat().st_size
        start = time.perf_counter()
        while path.stat().st_size > 2 * live and time.perf_counter() - start < 60:
            await anyio.sleep(0.2)
        waited = time.perf_counter() - start
        at_rest, wal = path.stat().st_size, Path(f"{path}-wal").stat().st_size
    print(
        f"{updates:,} updates of 1,000 objects at {rate:,.0f}/s: live {live / 1e6:.2f} MB; file at "
        f"most {largest / 1e6:.2f} MB meanwhile, {right_after / 1e6:.2f} MB at the end, "
        f"{at_rest / 1e6:.2f} MB ({at_rest / live:.2f} × live) {waited:.0f} s later by itself; "
        f"write-ahead log {wal / 1e6:.1f} MB"
    )


# --- the event loop


async def block_part(directory: Path, objects: int) -> None:
    """Print how long the event loop stands still while 10,000 objects are listed."""
    async with open_store(
        StoreConfig(directory / "block.db", synchronous="OFF"), SystemClock()
    ) as store:
        await commits(store, objects, 64, "block")
        whole = []
        for _ in range(5):
            start = time.perf_counter()
            await store.page("/b/")
            whole.append((time.perf_counter() - start) * 1000)
        gaps = [await longest_gap(store) for _ in range(5)]
        start = time.perf_counter()
        for number in range(5000):
            await store.get(f"/b/block-{number % objects:06}")
        get = (time.perf_counter() - start) / 5000 * 1e6
    print(
        f"list of {objects:,} from the file: {statistics.median(whole):.1f} ms; the event loop "
        f"stands still for at most {statistics.median(gaps):.1f} ms; get {get:.0f} µs"
    )


async def longest_gap(store: SqliteStore) -> float:
    """Milliseconds between two turns of a timer of one, at most, while a list is read."""
    longest, reading = 0.0, True

    async def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while reading:
            await anyio.sleep(0.001)
            now = time.perf_counter()
            longest = max(longest, (now - last) * 1000 - 1)
            last = now

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await anyio.sleep(0.01)
        longest = 0.0
        await store.page("/b/")
        await anyio.sleep(0.002)
        reading = False
    return longest


# --- the core


@asynccontextmanager
async def serving() -> AsyncIterator[LocalTransport]:
    """A core on a fresh store in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="cloudwright-bench-") as directory:
        config = StoreConfig(Path(directory) / "store.db", watch_queue=1_000_000)
        async with open_store(config, SystemClock()) as store:
            core = await bootstrap.start(store, AdministratorsOnly())
            yield LocalTransport(core, User("bench", (ADMINISTRATORS,)))


async def timed(count: int, clients: int, work: Callable[[int], Awaitable[None]]) -> float:
    """Calls a second when ``clients`` share ``count`` calls."""

    async def client(first: int) -> None:
        for index in range(first, count, clients):
            await work(index)

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for first in range(clients):
            tasks.start_soon(client, first)
    return count / (time.perf_counter() - start)


def create(api: LocalTransport, prefix: str) -> Callable[[int], Awaitable[None]]:
    """Creates one object for each number."""

    async def one(index: int) -> None:
        body = orjson.dumps({"metadata": {"name": f"{prefix}-{index:06}"}, "data": {"x": TEXT}})
        reply = await api.request(Request("POST", PATH, body=body))
        if reply.status != 201:
            raise SystemExit(reply.body.decode())

    return one


def get(api: LocalTransport, prefix: str) -> Callable[[int], Awaitable[None]]:
    """Reads one object for each number."""

    async def one(index: int) -> None:
        reply = await api.request(Request("GET", f"{PATH}/{prefix}-{index:06}"))
        if reply.status != 200:
            raise SystemExit(reply.body.decode())

    return one


def patch(api: LocalTransport, name: str) -> Callable[[int], Awaitable[None]]:
    """Changes one object for each number."""
    headers = {"content-type": "application/merge-patch+json"}

    async def one(index: int) -> None:
        body = orjson.dumps({"data": {"n": str(index)}})
        reply = await api.request(Request("PATCH", f"{PATH}/{name}", (), headers, body))
        if reply.status != 200:
            raise SystemExit(reply.body.decode())

    return one


async def list_ms(api: LocalTransport, **query: str) -> tuple[float, int]:
    """Median milliseconds of a list, and its bytes."""
    times, size = [], 0
    for _ in range(7):
        start = time.perf_counter()
        reply = await api.request(Request("GET", PATH, tuple(query.items())))
        times.append((time.perf_counter() - start) * 1000)
        size = len(reply.body)
    return statistics.median(times), size


async def watch_ms(api: LocalTransport, watchers: int, rounds: int = 20) -> tuple[float, float]:
    """P50 and P99 milliseconds from the start of a write to its event at each watcher."""
    arrived: list[float] = []
    ready = anyio.Event()
    waiting = watchers
    times: list[float] = []

    async def watcher() -> None:
        nonlocal waiting
        query = (("watch", "1"), ("sendInitialEvents", "false"))
        more = (("resourceVersionMatch", "NotOlderThan"),)
        async with api.stream(Request("GET", PATH, query + more)) as (_, chunks):
            waiting -= 1
            if not waiting:
                ready.set()
            async for _ in chunks:
                arrived.append(time.perf_counter())

    async with anyio.create_task_group() as tasks:
        for _ in range(watchers):
            tasks.start_soon(watcher)
        await ready.wait()
        await anyio.sleep(0.05)
        change = patch(api, "one-000000")
        for index in range(rounds):
            arrived.clear()
            start = time.perf_counter()
            await change(index)
            while len(arrived) < watchers:
                await anyio.sleep(0)
            times += [(at - start) * 1000 for at in arrived]
        tasks.cancel_scope.cancel()
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]


async def core_part(objects: int, watchers: int) -> None:
    """Measure and print."""
    async with serving() as api:
        half = objects // 2
        print(
            f"create/s     1 client   {await timed(min(half, 2000), 1, create(api, 'one')):10,.0f}"
        )
        print(f"create/s    32 clients  {await timed(half, 32, create(api, 'many')):10,.0f}")
        left = objects - half - min(half, 2000)
        await timed(left, 64, create(api, "rest"))
        print(
            f"get/s        1 client   {await timed(20_000, 1, lambda _: get(api, 'one')(1)):10,.0f}"
        )
        print(f"patch/s      1 client   {await timed(1000, 1, patch(api, 'one-000001')):10,.0f}")
        whole, size = await list_ms(api)
        print(f"list {objects:,}, ms           {whole:10.1f}   ({size / 1e6:.1f} MB)")
        page, _ = await list_ms(api, limit="500")
        print(f"list page of 500, ms    {page:10.2f}")
        selected, _ = await list_ms(api, labelSelector="a=b")
        print(f"list by selector, ms    {selected:10.1f}")
        for count in (1, watchers):
            p50, p99 = await watch_ms(api, count)
            print(f"write → event, {count:5} watchers, ms: P50 {p50:6.2f}  P99 {p99:6.2f}")


async def main(parts: list[str], options: argparse.Namespace) -> None:
    """Run the parts that are asked for."""
    with tempfile.TemporaryDirectory(prefix="cloudwright-bench-") as scratch:
        directory = Path(scratch)
        if "commit" in parts:
            await commit_part(directory)
        if "size" in parts:
            await size_part(directory, options.updates)
        if "block" in parts:
            await block_part(directory, options.objects)
    if "core" in parts:
        await core_part(options.objects, options.watchers)


PARTS = ["commit", "size", "block", "core"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=1_000_000)
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        sys.exit(f"error: there is no part {unknown.pop()!r}; parts: {', '.join(PARTS)}")
    anyio.run(main, chosen.parts or PARTS, chosen)
