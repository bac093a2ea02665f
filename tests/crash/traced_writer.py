"""A short life of a store: writes in groups, deletions, compaction, restarts. Every write that was
acknowledged is told of in the file ``acks``, in the same directory.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import anyio

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.store.interface import Outcome, Template, Txn, Write
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store

KEYS = [f"/p/{number}" for number in range(12)]
SETTINGS = {
    "history_bytes_min": 20_000,
    "history_slack_bytes": 20_000,
    "history_seconds": 100.0,
}


class Writer:
    """Writes and tells."""

    def __init__(self, root: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.acks = os.open(root / "acks", flags, 0o600)

    async def one(self, store: SqliteStore, number: int) -> None:
        key = self.rng.choice(KEYS)
        delete = self.rng.random() < 0.15
        text = f"{number} " * self.rng.choice((1, 50, 400, 4000))
        template = Template(b'{"rv":"', f'","text":"{text}"}}'.encode())
        outcome = await store.commit(Txn((), Write(key, template, delete=delete)))
        self.tell(key, delete, outcome)

    def tell(self, key: str, delete: bool, outcome: Outcome) -> None:
        if outcome.record is None:
            return
        value = outcome.record.value.decode()
        line = json.dumps([outcome.record.revision, key, delete, value])
        os.write(self.acks, line.encode() + b"\n")


async def main(root: Path, seed: int, writes: int) -> None:
    writer, clock, number = Writer(root, seed), ManualClock(), 0
    for _ in range(3):
        async with open_store(StoreConfig(root / "store.db", **SETTINGS), clock) as store:  # type: ignore[arg-type]
            goal = number + writes // 3
            while number < goal:
                async with anyio.create_task_group() as tasks:
                    for _ in range(writer.rng.choice((1, 1, 2, 5))):
                        number += 1
                        tasks.start_soon(writer.one, store, number)
                if writer.rng.random() < 0.2:
                    clock.advance(writer.rng.choice((1, 60, 200)))
                    await store.compact()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
