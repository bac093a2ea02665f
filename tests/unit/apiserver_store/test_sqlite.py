from __future__ import annotations

import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.errors import (
    CompactedError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
)
from cloudwright.apiserver.store.interface import Compare, Template, Txn, Write
from tests.unit.apiserver_store.kit import drop, events, opened, put, taken

pytestmark = pytest.mark.anyio


async def test_the_revision_survives_a_restart_even_after_compaction(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock=clock, history_revisions=1) as store:
        for index in range(20):
            await put(store, f"/a/{index % 3}")
        await drop(store, "/a/1")
        last = store.revision
        clock.advance(10_000)
        await put(store, "/a/2")
        await drop(store, "/a/2")
        last = store.revision
    async with opened(tmp_path) as store:
        assert store.revision == last
        written = (await put(store, "/a/1")).record
        assert written is not None
        assert written.revision == last + 1


@pytest.mark.parametrize("ring", [4096, 2])
async def test_a_watch_resumes_from_memory_and_from_disk(tmp_path: Path, ring: int) -> None:
    async with opened(tmp_path, ring_events=ring) as store:
        start = store.revision
        for index in range(8):
            await put(store, f"/{'pq'[index % 2]}/{index}")
        expected = [(start + 1 + index, f"/p/{index}") for index in range(0, 8, 2)]
        assert await events(store, "/p/", start, 4) == expected
        assert await events(store, "/p/", start + 3, 2) == expected[2:]


async def test_a_deletion_shows_the_last_state_with_its_own_revision(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store, "/p/a", "last")
        watch = store.watch("/p/", after=store.revision)
        await drop(store, "/p/a")
        (event,) = await watch.batch()
        assert event.deleted
        assert event.value == b"<%d>gone" % event.revision
        assert event.previous is not None
        assert event.previous.endswith(b"last")
        assert (await drop(store, "/p/a")).record is None


async def test_compaction_drops_history_but_no_current_value(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock=clock, compact_every_seconds=60, ring_events=3) as store:
        start = store.revision
        for index in range(30):
            await put(store, f"/p/{index % 4}", str(index))
        await drop(store, "/p/0")
        before = store.revision
        clock.advance(1000)
        await put(store, "/p/9")
        with anyio.fail_after(5):
            while store.compacted < before:
                await anyio.sleep(0.001)
        with pytest.raises(CompactedError):
            store.watch("/p/", after=start)
        with pytest.raises(CompactedError):
            await store.page("/p/", revision=start + 3)
        now = await store.page("/p/")
        assert [record.key for record in now.records] == ["/p/1", "/p/2", "/p/3", "/p/9"]
        assert await events(store, "/p/", before, 1) == [(before + 1, "/p/9")]
    with sqlite3.connect(tmp_path / "store.db") as database:
        assert database.execute("SELECT count(*) FROM current").fetchone() == (4,)
        assert database.execute("SELECT count(*) FROM log").fetchone() == (1,)


async def test_history_is_bounded_by_count(tmp_path: Path) -> None:
    async with opened(tmp_path, history_revisions=100) as store:
        async with anyio.create_task_group() as tasks:
            for _ in range(50):

                async def many() -> None:
                    for index in range(60):
                        await put(store, f"/p/{index % 5}")

                tasks.start_soon(many)
        last = store.revision
        await put(store, "/p/0")
        with anyio.fail_after(5):
            while store.compacted < last - 2100:
                await anyio.sleep(0.001)
        assert store.compacted > 0


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StoreBusyError, match="in use by another process"):
            async with opened(tmp_path):
                pass


async def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for index in range(300):
            await put(store, f"/p/{index}", "x" * 500)
    path = tmp_path / "store.db"
    content = bytearray(path.read_bytes())
    for at in range(8192, len(content) - 4096, 4096):
        content[at : at + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError, match="damaged"):
        async with opened(tmp_path):
            pass
    assert path.read_bytes() == bytes(content)


async def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="format 99"):
        async with opened(tmp_path):
            pass


async def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "deep") as store:
        await put(store, "/p/a")
        for path in (tmp_path / "deep").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


class Failing:
    """A connection on which one statement fails, as a disk makes it."""

    def __init__(self, database: sqlite3.Connection, statement: str, code: int) -> None:
        self._database = database
        self._statement = statement
        self._code = code

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        self._look_at(statement)
        return self._database.execute(statement, *values)  # type: ignore[arg-type]

    def executemany(self, statement: str, rows: Sequence[Any]) -> sqlite3.Cursor:
        if rows:
            self._look_at(statement)
        return self._database.executemany(statement, rows)

    def _look_at(self, statement: str) -> None:
        if statement.startswith(self._statement):
            error = sqlite3.OperationalError("injected")
            error.sqlite_errorcode = self._code
            raise error

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)


@pytest.mark.parametrize("statement", ["BEGIN", "SELECT", "INSERT INTO log", "COMMIT"])
@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (sqlite3.SQLITE_FULL, StoreFullError, "no space left"),
        (sqlite3.SQLITE_IOERR, StoreError, "failed: injected"),
        (sqlite3.SQLITE_READONLY, StoreError, "failed: injected"),
    ],
)
async def test_a_failed_write_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, statement: str, code: int, kind: type[StoreError], text: str
) -> None:
    async with opened(tmp_path) as store:
        await put(store, "/p/a", "kept")
        watch = store.watch("/p/", after=store.revision)
        database = store._writer
        store._writer = Failing(database, statement, code)  # type: ignore[assignment]
        errors = []

        async def one(key: str) -> None:
            try:
                await put(store, key, "lost")
            except StoreError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for key in ("/p/a", "/p/b", "/p/c"):
                tasks.start_soon(one, key)
        assert [type(error) for error in errors] == [kind] * 3
        assert text in errors[0].message
        store._writer = database
        before = store.revision
        page = await store.page("/p/")
        assert [(r.key, r.value[-4:]) for r in page.records] == [("/p/a", b"kept")]
        written = (await put(store, "/p/b", "back")).record
        assert written is not None
        # A revision of a failed write is never used again, though nobody saw it.
        assert written.revision > before
        assert [event.key for event in await watch.batch()] == ["/p/b"]
        assert store.statistics.failures > 0


async def test_the_file_stays_small_under_many_updates(tmp_path: Path) -> None:
    async with opened(tmp_path, history_revisions=100, synchronous="NORMAL") as store:

        async def many(worker: int) -> None:
            for _ in range(400):
                await put(store, f"/p/{worker}", "x" * 2000)

        async with anyio.create_task_group() as tasks:
            for worker in range(16):
                tasks.start_soon(many, worker)
        for _ in range(4):
            await store.compact()
    # 6,400 writes of 2 kB each, 100 of them kept.
    assert (tmp_path / "store.db").stat().st_size < 2_000_000


async def test_a_cancelled_writer_of_a_request_may_still_write(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await put(store, "/p/a", "late")
        await put(store, "/p/b")
        found = await store.get("/p/a")
        assert found is not None
        assert found.value.endswith(b"late")


async def test_a_resumed_watch_continues_from_the_disk_with_live_events(tmp_path: Path) -> None:
    async with opened(tmp_path, ring_events=1) as store:
        start = store.revision
        await put(store, "/p/a")
        watch = store.watch("/p/", after=start)
        await put(store, "/p/b")
        await put(store, "/q/b")
        assert [event.key for event in await taken(watch, 2)] == ["/p/a", "/p/b"]


@pytest.mark.parametrize("key", ["/p/\ud800", "/p/a\0b"])
async def test_a_key_that_cannot_be_kept_fails_alone(tmp_path: Path, key: str) -> None:
    async with opened(tmp_path) as store:
        found: list[object] = []

        async def one(name: str) -> None:
            try:
                found.append((await put(store, name)).record)
            except StoreError as error:
                found.append(error.message)

        async with anyio.create_task_group() as tasks:
            for name in ("/p/a", key, "/p/ü", "/p/b"):
                tasks.start_soon(one, name)
        assert sum(isinstance(one, str) for one in found) == 1
        names = [record.key for record in (await store.page("/p/")).records]
        assert names == ["/p/a", "/p/b", "/p/ü"]
        with pytest.raises(StoreError):
            await store.commit(Txn((Compare(key, 0),), Write("/p/c", Template(b"", b""))))
