"""Create, get, list and watch of the API server's core in one process, without HTTP.

Run: ``python benchmarks/apiserver_store.py [--objects 10000] [--watchers 1000]``. Every object is a
ConfigMap of about a kilobyte; the store syncs each commit to disk (``synchronous=FULL``). Compare:
kube-apiserver 1.36 with etcd on a like machine (over TLS) creates 372/s with one client and 1,053/s
with 32, gets 730/s and 1,958/s, and lists 10,000 objects in 78–125 ms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import orjson

from cloudwright._base.clock import SystemClock
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.identity import ADMINISTRATORS, AdministratorsOnly, User
from cloudwright.apiserver.local import LocalTransport
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.client.transport import Request

PATH = "/api/v1/namespaces/default/configmaps"
TEXT = "x" * 1000


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


async def main(objects: int, watchers: int) -> None:
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=1000)
    options = parser.parse_args()
    anyio.run(main, options.objects, options.watchers)
