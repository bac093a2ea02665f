"""A listener that hears of writes before they are durable, and when they are."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.store.interface import Event
from tests.unit.apiserver_store.kit import opened, put
from tests.unit.apiserver_store.test_sqlite import Failing

pytestmark = pytest.mark.anyio


class Noted:
    """What an ``Ahead`` was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[str, ...]]] = []
        self.threads: list[int] = []

    def hold(self, events: Sequence[Event]) -> None:
        self.told.append(("hold", tuple(event.key for event in events)))

    def release(self) -> None:
        self.threads.append(threading.get_ident())
        self.told.append(("release", ()))

    def discard(self) -> None:
        self.told.append(("discard", ()))

    def event(self, event: Event) -> None:
        self.told.append(("event", (event.key,)))

    def lost(self) -> None:
        raise AssertionError("nothing is lost here")


async def test_a_group_is_held_released_and_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        noted = Noted()
        store.listen(noted)
        await put(store, "/p/a")
        async with anyio.create_task_group() as tasks:
            for key in ("/p/b", "/p/c"):
                tasks.start_soon(put, store, key)
        names = [name for name, _ in noted.told]
        first, second = noted.told[:3], noted.told[3:]
        assert sorted(first[:2]) == [("hold", ("/p/a",)), ("release", ())]
        assert first[2] == ("event", ("/p/a",))
        assert sorted(second[:2]) == [("hold", ("/p/b", "/p/c")), ("release", ())]
        assert second[2:] == [("event", ("/p/b",)), ("event", ("/p/c",))]
        assert names.count("release") == 2
        # The event loop may be busy: it is not what lets them go.
        assert threading.get_ident() not in noted.threads


async def test_a_group_of_refused_writes_is_released_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        noted = Noted()
        store.listen(noted)
        await put(store, "/p/a", "", 7)  # is not there
        assert sorted(noted.told) == [("hold", ()), ("release", ())]


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO log", "COMMIT"])
async def test_what_was_not_written_is_discarded(tmp_path: Path, statement: str) -> None:
    async with opened(tmp_path) as store:
        noted = Noted()
        store.listen(noted)
        database = store._writer
        store._writer = Failing(database, statement, sqlite3.SQLITE_FULL)  # type: ignore[assignment]
        with pytest.raises(StoreError):
            await put(store, "/p/a")
        store._writer = database
        held = [("hold", ("/p/a",))] if statement == "COMMIT" else []
        assert noted.told == [*held, ("discard", ())]
