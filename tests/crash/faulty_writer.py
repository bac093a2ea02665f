"""Stores on a disk that fails at chosen calls (see ``disktrace.c``): what was refused is not there,
what was acknowledged is, watchers see just that, and it goes on when the disk does.
"""

from __future__ import annotations

import ctypes
import errno
import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import anyio

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.store.interface import Template, Txn, Write
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store
from tests.crash.disktrace import SYNC, TRUNCATE, WRITE
from tests.crash.traced_writer import KEYS, SETTINGS

fault = ctypes.CDLL(None).disktrace_fault
KINDS = [
    (WRITE, errno.EIO),
    (WRITE, errno.ENOSPC),
    (WRITE, errno.EROFS),
    (SYNC, errno.EIO),
    (SYNC, errno.ENOSPC),
    (TRUNCATE, errno.EIO),
]
FOREVER = 1 << 30


class Life:
    """One store, what it acknowledged and what it refused."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.state: dict[str, bytes] = {}
        self.events: list[tuple[int, str]] = []
        self.refused: Counter[str] = Counter()
        self.number = 0

    async def one(self, store: SqliteStore) -> None:
        self.number += 1
        key, number = self.rng.choice(KEYS), self.number
        delete = self.rng.random() < 0.15
        template = Template(b"<", f">{number} ".encode() * self.rng.choice((1, 100, 3000)))
        try:
            outcome = await store.commit(Txn((), Write(key, template, delete=delete)))
        except StoreError as error:
            self.refused[type(error).__name__] += 1
            return
        if outcome.record is not None:
            self.events.append((outcome.record.revision, key))
            if delete:
                del self.state[key]
            else:
                self.state[key] = outcome.record.value

    async def some(self, store: SqliteStore, count: int) -> None:
        while count > 0:
            # One at a time within a group of one key each: acknowledgements come in order.
            async with anyio.create_task_group() as tasks:
                for _ in range(self.rng.choice((1, 1, 3))):
                    count -= 1
                    tasks.start_soon(self.one, store)
            if self.rng.random() < 0.2:
                await store.compact()

    async def agree(self, store: SqliteStore) -> None:
        page = await store.page("/")
        found = {record.key: record.value for record in page.records}
        assert found == self.state, "the store is not what it acknowledged"


async def live(root: Path, rng: random.Random) -> tuple[str, Counter[str]]:
    shutil.rmtree(root / "one", ignore_errors=True)
    config = StoreConfig(root / "one" / "store.db", **SETTINGS)  # type: ignore[arg-type]
    life = Life(rng)
    kind, error = rng.choice(KINDS)
    times = rng.choice((1, 1, 2, 5, FOREVER))
    async with open_store(config, ManualClock()) as store:
        await life.some(store, 10)
        watch = store.watch("/", after=1)
        fault(kind, rng.randrange(60), error, times)
        await life.some(store, 25)
        fault(0, 0, 0, 0)
        await life.agree(store)
        before = sum(life.refused.values())
        await life.some(store, 10)
        assert sum(life.refused.values()) == before, f"writes are refused for ever: {life.refused}"
        await life.agree(store)
        seen = []
        while watch.progress < store.revision:
            seen += [(event.revision, event.key) for event in await watch.batch()]
        assert seen == sorted(life.events), "watchers saw something else"
    async with open_store(config, ManualClock()) as store:
        await life.agree(store)
        assert (await store.check()).problems == []
    return f"{kind}:{errno.errorcode[error]}", life.refused


async def main(root: Path, seed: int, rounds: int) -> None:
    rng = random.Random(seed)
    refused: dict[str, Counter[str]] = {}
    for _ in range(rounds):
        name, found = await live(root, rng)
        refused.setdefault(name, Counter()).update(found)
    print(json.dumps(refused))


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
