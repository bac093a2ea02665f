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


async def drop(store: Store, key: str) -> Outcome:
    return await store.commit(Txn((), Write(key, Template(b"<", b">gone"), delete=True)))


async def taken(store: Store, prefix: str, after: int, count: int) -> list[Event]:
    """The first ``count`` events of a watch."""
    watch = store.watch(prefix, after=after)
    found: list[Event] = []
    with anyio.fail_after(20):
        while len(found) < count:
            found += await watch.batch()
    watch.close()
    return found


async def events(store: Store, prefix: str, after: int, count: int) -> list[tuple[int, str]]:
    return [(event.revision, event.key) for event in await taken(store, prefix, after, count)]
