"""A file that is not what was written: never a wrong answer, always told what is wrong."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import anyio
import pytest

from cloudwright.apiserver.errors import CompactedError, StoreCorruptError, StoreError
from cloudwright.apiserver.store import checking
from cloudwright.apiserver.store.interface import Record
from cloudwright.apiserver.store.sqlite import SqliteStore
from tests.unit.apiserver_store.kit import drop, opened, put, wrote

pytestmark = pytest.mark.anyio


async def filled(directory: Path) -> dict[str, Record]:
    """A closed store of some pages; what it has."""
    async with opened(directory, synchronous="OFF") as store:
        for number in range(60):
            await put(store, f"/p/{number:02}", f"{number}-" * 150)
        for number in range(0, 60, 3):
            await put(store, f"/p/{number:02}", f"{number}+" * 150)
        for number in range(0, 60, 7):
            await drop(store, f"/p/{number:02}")
        return {record.key: record for record in (await store.page("/")).records}


async def read_all(store: SqliteStore, expected: dict[str, Record]) -> bool:
    """Whether everything can be read; fails the test when anything is wrong but not told."""
    whole = True
    for key, record in expected.items():
        try:
            assert await store.get(key) == record
        except StoreCorruptError:
            whole = False
    try:
        assert {r.key: r for r in (await store.page("/")).records} == expected
    except StoreCorruptError:
        whole = False
    return whole


@pytest.mark.parametrize("seed", [*range(30), 481, 622, 1106, 1177, 1185])
async def test_flipped_bits_give_no_wrong_answer(tmp_path: Path, seed: int) -> None:
    expected = await filled(tmp_path)
    path, rng = tmp_path / "store.db", random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 2, 5))):
        data[rng.randrange(100, len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
        report = checking.check(path)
    except StoreError as error:
        if "has format" in error.message:  # the number itself was hit
            return
        raise
    try:
        async with opened(tmp_path) as store:
            whole = await read_all(store, expected)
            again = await store.check()
    except StoreCorruptError:
        assert report.problems
        return
    # What a reader found, the check finds; what it does not find, nobody misses.
    assert whole or again.problems
    if not again.problems:
        assert whole


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.95])
async def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, part: float) -> None:
    await filled(tmp_path)
    path = tmp_path / "store.db"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(StoreCorruptError, match="damaged") as refused:
        async with opened(tmp_path):
            pass
    assert "cloudwright restore" in (refused.value.hint or "")


async def test_something_else_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreCorruptError, match="not a database"):
        async with opened(tmp_path):
            pass
    (tmp_path / "store.db").unlink()
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        async with opened(tmp_path):
            pass


@pytest.mark.parametrize("seed", range(15))
async def test_a_damaged_write_ahead_log_ends_where_it_is_damaged(
    tmp_path: Path, seed: int
) -> None:
    """The file is then some earlier state, whole; never a mixture."""
    rng, states = random.Random(seed), {}
    live = tmp_path / "live"
    async with opened(live) as store:
        for number in range(40):
            record = await wrote(store, f"/p/{number % 9}", "x" * rng.randrange(3000))
            states[record.revision] = {r.key: r for r in (await store.page("/")).records}
        for name in ("store.db", "store.db-wal"):
            (tmp_path / name).write_bytes((live / name).read_bytes())
    wal = bytearray((tmp_path / "store.db-wal").read_bytes())
    at = rng.randrange(32, len(wal))
    if seed % 2:
        del wal[at:]
    else:
        wal[at] ^= 16
    (tmp_path / "store.db-wal").write_bytes(wal)
    async with opened(tmp_path) as store:
        revision = store.revision
        found = {r.key: r for r in (await store.page("/")).records}
        assert found == (states[revision] if revision > 1 else {})
        assert (await store.check()).problems == []


async def test_damage_while_running_is_named_and_heals(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "store.db"
    async with opened(tmp_path, ring_events=1) as store:
        data = path.read_bytes()
        at = data.index(b"44-44-44-") + 4
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\0")
        with pytest.raises(StoreCorruptError, match="the value of /p/44 at revision") as refused:
            await store.get("/p/44")
        assert "write or delete this object anew" in (refused.value.hint or "")
        with pytest.raises(StoreCorruptError, match="/p/44"):
            await store.page("/p/")
        assert await store.get("/p/43") is not None
        assert store.statistics.damages == 2
        report = await store.check()
        assert len(report.problems) == 1
        assert "/p/44" in report.problems[0]
        assert (await wrote(store, "/p/44", "anew")).value.endswith(b"anew")
        assert (await store.get("/p/44")).value.endswith(b"anew")  # type: ignore[union-attr]
        assert len((await store.page("/p/")).records) == 51
        assert store.statistics.damages == 2


async def test_the_file_is_checked_while_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(tmp_path)
    path = tmp_path / "store.db"
    async with opened(tmp_path, check_every_seconds=0.05) as store:
        data = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(data.index(b"44-44-44-") + 4)
            file.write(b"\0")
        with anyio.fail_after(20):
            while not store.statistics.problems:
                await put(store, "/p/01")
    assert "the store is damaged: the value of /p/44" in caplog.text


OLD = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE history (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL,
    previous INTEGER NOT NULL, deleted INTEGER NOT NULL, at INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', 3);
INSERT INTO history VALUES (4, '/p/a', 4, 0, 0, 1, x'3c343e61'), (5, '/p/b', 5, 0, 0, 1, x'62'),
    (6, '/p/b', 5, 5, 0, 1, x'3c363e62'), (7, '/p/c', 7, 0, 0, 1, x'63'),
    (8, '/p/c', 7, 7, 1, 1, x'63');
INSERT INTO current VALUES ('/p/a', 4), ('/p/b', 6);
PRAGMA user_version = 1;
"""


async def test_a_file_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as old:
        old.execute("PRAGMA auto_vacuum = INCREMENTAL")
        old.execute("PRAGMA journal_mode = WAL")
        old.executescript(OLD)
    old.close()
    for _ in range(2):
        async with opened(tmp_path) as store:
            assert store.revision == 8
            assert list((await store.page("/")).records) == [
                Record("/p/a", 4, 4, b"<4>a"),
                Record("/p/b", 6, 5, b"<6>b"),
            ]
            with pytest.raises(CompactedError):
                store.watch("/p/", after=7)
            assert (await store.check()).problems == []
    async with opened(tmp_path) as store:
        assert (await wrote(store, "/p/c", "new", 0)).revision == 9
