"""The process is killed, or the power is cut, at every single step of the store on its disk:
nothing acknowledged is lost, revisions never go back, watches miss nothing.

``CLOUDWRIGHT_CRASH_POINTS`` (default 300) chooses how many crash points are looked at.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from cloudwright.apiserver.store.hub import HubWatch
from cloudwright.apiserver.store.interface import Event
from cloudwright.apiserver.store.sqlite import SqliteStore
from tests.crash import disktrace
from tests.crash.disktrace import Disk, Step
from tests.unit.apiserver_store.kit import opened, wrote

pytestmark = pytest.mark.anyio

POINTS = int(os.environ.get("CLOUDWRIGHT_CRASH_POINTS", "300"))
WRITES = 90


@dataclass(frozen=True, slots=True)
class Happened:
    """An acknowledged write."""

    revision: int
    key: str
    deleted: bool
    value: bytes


def parse(acks: bytes) -> list[Happened]:
    found = []
    for line in acks.splitlines(keepends=True):
        if line.endswith(b"\n"):
            revision, key, deleted, value = json.loads(line)
            found.append(Happened(revision, key, deleted, value.encode()))
    return sorted(found, key=lambda one: one.revision)


def state_at(history: list[Happened], revision: int) -> dict[str, tuple[int, bytes]]:
    state: dict[str, tuple[int, bytes]] = {}
    for one in history:
        if one.revision <= revision:
            if one.deleted:
                state.pop(one.key, None)
            else:
                state[one.key] = (one.revision, one.value)
    return state


@pytest.fixture
def scratch() -> Iterator[Path]:
    """In memory where there is such a place: thousands of syncs are not what is tested."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="cloudwright-crash-", dir=place))
    yield directory
    shutil.rmtree(directory)


def traced(scratch: Path, seed: int) -> tuple[list[Step], list[Happened]]:
    """The steps of one life of a store, and everything that it acknowledged."""
    root, log = scratch / "traced", scratch / "log"
    root.mkdir()
    disktrace.run("tests.crash.traced_writer", root, log, str(seed), str(WRITES))
    history = parse((root / "acks").read_bytes())
    assert len(history) > WRITES * 0.6
    return disktrace.read(log), history


async def everything(watch: HubWatch, goal: int) -> list[Event]:
    found: list[Event] = []
    with anyio.fail_after(30):
        while watch.progress < goal:
            found += await watch.batch()
    return found


async def examine(store: SqliteStore, acked: list[Happened], history: list[Happened]) -> None:
    """The store is exactly what the first so many writes made, all acknowledged ones among them."""
    revision = store.revision
    assert revision >= max((one.revision for one in acked), default=1), "a write is lost"
    page = await store.page("/")
    found = {record.key: (record.revision, record.value) for record in page.records}
    assert found == state_at(history, revision)
    watch = store.watch("/", after=store.compacted)
    events = await everything(watch, revision)
    assert [(e.revision, e.key, e.deleted, e.value) for e in events] == [
        (one.revision, one.key, one.deleted, one.value)
        for one in history
        if store.compacted < one.revision <= revision
    ], "a watch has a gap"
    assert (await store.check()).problems == []
    assert (await wrote(store, "/p/new", "after")).revision > revision


async def test_every_step_is_a_crash_point(scratch: Path) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    steps, history = traced(scratch, seed)
    disk, rng, place = Disk(), random.Random(seed), scratch / "crashed"
    changing = [at for at, step in enumerate(steps) if step.name != "acks"]
    assert len(changing) >= 200
    chosen = set(rng.sample(changing, min(POINTS, len(changing))))
    seen = 0
    for at, step in enumerate(steps):
        disk.do(step)
        if at not in chosen:
            continue
        for files in (disk.killed(), disk.cut(rng)):
            acked = parse(disk.killed().get("acks", b""))
            files.pop("acks", None)
            disktrace.lay(place, files)
            async with opened(place, synchronous="OFF") as store:
                await examine(store, acked, history)
            seen += 1
    assert seen == 2 * len(chosen)


def test_a_disk_that_fails_now_and_then(scratch: Path) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    (scratch / "root").mkdir()
    told = disktrace.run(
        "tests.crash.faulty_writer", scratch / "root", None, str(seed), str(max(POINTS // 5, 40))
    )
    refused = json.loads(told)
    # The faults were felt, and a full disk is called so.
    assert sum(map(len, refused.values())) > 0
    assert "StoreFullError" in refused[f"{disktrace.WRITE}:ENOSPC"]
