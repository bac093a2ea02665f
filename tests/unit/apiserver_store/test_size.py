"""The file stays near its live data, whatever was written and removed, without anybody asking."""

from __future__ import annotations

import random
from pathlib import Path

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.store.sqlite import SqliteStore
from tests.unit.apiserver_store.kit import drop, opened, put

pytestmark = pytest.mark.anyio

SLACK = 512 * 1024


async def side_by_side(workers: int, work: object) -> None:
    async with anyio.create_task_group() as tasks:
        for worker in range(workers):
            tasks.start_soon(work, worker)  # type: ignore[arg-type]


async def ten_seconds_pass(store: SqliteStore, clock: ManualClock) -> None:
    """What the clock does by itself on a machine."""
    clock.advance(11)
    compacted = store.compacted
    await put(store, "/tick/1")
    with anyio.fail_after(20):
        while store.compacted == compacted:
            await anyio.sleep(0.01)
    await store.compact()  # waits until the writer is done with it


async def test_many_updates_of_some_objects(tmp_path: Path) -> None:
    rng, clock = random.Random(1), ManualClock()
    settings = {"history_slack_bytes": SLACK, "synchronous": "OFF"}
    async with opened(tmp_path, clock=clock, **settings) as store:
        path, largest = tmp_path / "store.db", 0

        async def work(worker: int) -> None:
            nonlocal largest
            for _ in range(600):
                await put(store, f"/p/{rng.randrange(1000):04}", "x" * rng.randrange(900, 1100))
                largest = max(largest, path.stat().st_size)

        await side_by_side(20, work)
        live = store.statistics.live_bytes
        usage = store._compactor.usage
        # While writes rush in there is some slack, but no more.
        assert usage.logged <= store._compactor.allowed() + SLACK + 200 * 1200
        assert largest < 2.5 * live + SLACK + 1_000_000
        await ten_seconds_pass(store, clock)
        assert path.stat().st_size <= 2 * store.statistics.live_bytes
        assert len((await store.page("/p/")).records) == usage.live_rows - 1


async def test_most_objects_removed(tmp_path: Path) -> None:
    """Few rows in many half-empty pages are moved together."""
    rng, clock = random.Random(2), ManualClock()
    async with opened(tmp_path, clock=clock, synchronous="OFF", history_slack_bytes=SLACK) as store:

        async def create(worker: int) -> None:
            for number in range(200):
                await put(store, f"/p/{worker}/{number}", "x" * 1000)

        await side_by_side(30, create)
        records = list((await store.page("/p/")).records)
        kept = {record.key: record for record in rng.sample(records, len(records) // 5)}

        async def remove(worker: int) -> None:
            for record in records[worker::30]:
                if record.key not in kept:
                    await drop(store, record.key)

        await side_by_side(30, remove)
        await ten_seconds_pass(store, clock)
        size = (tmp_path / "store.db").stat().st_size
        assert size <= 2 * store.statistics.live_bytes + 1_100_000
        assert {r.key: r for r in (await store.page("/p/")).records} == kept
        assert (await store.check()).problems == []


@pytest.mark.parametrize("size", [300, 2000, 5000, 9000, 20_000])
async def test_objects_of_any_size_end_in_a_dense_file(tmp_path: Path, size: int) -> None:
    """Also where pages cannot be filled well: rows are moved once, not for ever."""
    clock, rng = ManualClock(), random.Random(size)
    async with opened(tmp_path, clock=clock, synchronous="OFF", history_slack_bytes=SLACK) as store:
        many = 2_000_000 // size

        async def work(worker: int) -> None:
            for number in range(worker, many, 20):
                await put(store, f"/p/{number:05}", "x" * size)
            for _ in range(many // 20):
                await put(store, f"/p/{rng.randrange(many):05}", "x" * rng.randrange(size))

        await side_by_side(20, work)
        for _ in range(3):
            clock.advance(11)
            await store.compact()
        written = store._writer.total_changes
        clock.advance(11)
        await store.compact()
        assert store._writer.total_changes - written <= 2, "rows are moved again and again"
        bytes_now = (tmp_path / "store.db").stat().st_size
        assert bytes_now <= 2.3 * store.statistics.live_bytes + 700_000
        assert (await store.check()).problems == []


async def test_the_write_ahead_log_is_bounded_while_lists_are_read(tmp_path: Path) -> None:
    async with opened(tmp_path, synchronous="OFF") as store:
        for number in range(100):
            await put(store, f"/p/{number}", "x" * 4000)
        writing = True

        async def read(worker: int) -> None:
            while writing:
                await store.page("/p/")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, 0)
            tasks.start_soon(read, 1)
            for number in range(900):
                await put(store, f"/p/{number % 100}", "x" * 4000)
            writing = False
        wal = (tmp_path / "store.db-wal").stat().st_size
    # 900 writes of several pages each; 512 pages begin a checkpoint.
    assert wal < 8 * 1024 * 1024


async def test_the_write_ahead_log_goes_when_writes_pause(tmp_path: Path) -> None:
    async with opened(tmp_path, synchronous="OFF") as store:
        for number in range(100):
            await put(store, f"/p/{number}", "x" * 4000)
        log = tmp_path / "store.db-wal"
        await store.compact()
        assert log.stat().st_size > 0, "writes may go on"
        await store.compact()
        assert log.stat().st_size == 0
        assert store.statistics.wal_bytes == 0
        await put(store, "/p/1", "new")
        assert (await store.check()).problems == []
        found = await store.get("/p/1")
        assert found is not None


async def test_the_books_agree_with_the_file(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with opened(tmp_path, synchronous="OFF") as store:
        for _ in range(300):
            key = f"/p/{rng.randrange(20)}"
            if rng.random() < 0.3:
                await drop(store, key)
            else:
                await put(store, key, "x" * rng.randrange(2000))
        await store.compact()
        kept = store._compactor.usage
    async with opened(tmp_path) as store:
        assert store._compactor.usage == kept
