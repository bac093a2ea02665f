"""Writes as fast as it can and tells on standard output of each write once it is acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from cloudwright._base.clock import SystemClock
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.store.interface import Template, Txn, Write
from cloudwright.apiserver.store.sqlite import SqliteStore, open_store


async def write(store: SqliteStore, worker: int, run: int) -> None:
    count = 0
    while True:
        count += 1
        key = f"/w/{worker}/{count % 7}"
        text = f"{run}-{worker}-{count}"
        template = Template(b'{"rv":"', f'","text":"{text}"}}'.encode())
        outcome = await store.commit(Txn((), Write(key, template, delete=False)))
        assert outcome.record is not None
        # One write per line, unbuffered: what was printed was acknowledged.
        sys.stdout.write(f"{outcome.record.revision} {key} {text}\n")
        sys.stdout.flush()


async def main(path: str, run: int) -> None:
    config = StoreConfig(Path(path), history_revisions=200, compact_every_seconds=0.05)
    async with open_store(config, SystemClock()) as store:
        sys.stdout.write(f"ready {store.revision}\n")
        sys.stdout.flush()
        async with anyio.create_task_group() as tasks:
            for worker in range(8):
                tasks.start_soon(write, store, worker, run)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]))
