"""CPU time and memory of a proxy with all its threads and children; the cores of a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.processes import memory

MEBI = 1 << 20


def cores() -> tuple[list[str], list[str]]:
    """Prefixes of commands: the proxy's core, and the one of load and upstream.

    On a machine with one core both are empty.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return [], []
    return ["taskset", "-c", str(allowed[0])], ["taskset", "-c", str(allowed[1])]


@contextmanager
def own_core(prefix: list[str]) -> Iterator[None]:
    """Children that are started inside have the prefix's core, without a program in between."""
    before = os.sched_getaffinity(0)
    if prefix:
        os.sched_setaffinity(0, {int(prefix[-1])})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_ns(pids: Iterable[int]) -> int:
    """Nanoseconds on a CPU of all threads that live now."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


def sizes(pids: Iterable[int]) -> dict[str, float]:
    """``Rss`` and ``Pss`` in MiB, summed."""
    found = {"Rss": 0.0, "Pss": 0.0}
    for pid in pids:
        for kind, value in memory(pid).items():
            if kind in found:
                found[kind] += value / MEBI
    return found
