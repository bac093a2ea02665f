"""A fresh store, and short words to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from cloudwright._base.clock import Clock, ManualClock
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.store.interface import (
    Compare,
    Event,
    Outcome,
    Record,
    Store,
    Template,
    Txn,
    Watch,
    Write,
)
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store


@asynccontextmanager
async def opened(
    directory: Path, *, clock: Clock | None = None, **settings: object
) -> AsyncIterator[SqliteStore]:
    config = StoreConfig(directory / "store.db", **settings)  # type: ignore[arg-type]
    async with open_store(config, clock or ManualClock()) as store:
        yield store


async def put(store: Store, key: str, text: str = "", revision: int | None = None) -> Outcome:
    template = Template(b"<", f">{text}".encode())
    compares = () if revision is None else (Compare(key, revision),)
    return await store.commit(Txn(compares, Write(key, template)))


async def wrote(store: Store, key: str, text: str = "", revision: int | None = None) -> Record:
    record = (await put(store, key, text, revision)).record
    assert record is not None
    return record


async def drop(store: Store, key: str, text: str = "gone") -> Outcome:
    last = Template(b"<", f">{text}".encode())
    return await store.commit(Txn((), Write(key, last, delete=True)))


async def taken(watch: Watch, count: int) -> list[Event]:
    """The next ``count`` events of a watch, which is then closed."""
    found: list[Event] = []
    with anyio.fail_after(20):
        while len(found) < count:
            found += await watch.batch()
    watch.close()
    return found


async def events(store: Store, prefix: str, after: int, count: int) -> list[tuple[int, str]]:
    """The first ``count`` events of a new watch."""
    found = await taken(store.watch(prefix, after=after), count)
    return [(event.revision, event.key) for event in found]


class Seen:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.revisions: list[int] = []
        self.state: dict[str, bytes | None] = {}
        self.losses = 0

    def event(self, event: Event) -> None:
        self.revisions.append(event.revision)
        self.state[event.key] = None if event.deleted else event.value

    def lost(self) -> None:
        self.losses += 1
