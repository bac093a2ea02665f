"""A queue of keys: each waits once, none runs twice at a time, failures wait longer and longer.

``Schedule`` is the pure part (it is told the time); ``Queue`` lets tasks wait on it. Semantics of
client-go's ``workqueue``: a key that is added while it runs is run again afterwards.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio

from cloudwright._base.clock import Clock


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waiting times in seconds: ``first``, twice that, … up to ``most``."""

    first: float = 0.1
    most: float = 60.0

    def after(self, failures: int) -> float:
        """How long to wait after that many failures in a row (1 is the first)."""
        return float(min(self.most, self.first * 2 ** min(max(failures, 1) - 1, 32)))


class Schedule:
    """Which key is due. Every method that needs the time takes it in monotonic seconds."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ready) + len(self._again)

    def add(self, key: str) -> None:
        """The key should be looked at now."""
        if key in self._running:
            self._again.add(key)
        else:
            self._ready.setdefault(key)

    def add_at(self, key: str, due: float) -> None:
        """The key should be looked at then; the earliest wish counts."""
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))

    def failed(self, key: str, now: float) -> float:
        """Plan the next attempt after a failure; returns the seconds until then."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = self._backoff.after(self._failures[key])
        self.add_at(key, now + delay)
        return delay

    def failures(self, key: str) -> int:
        """Failures in a row."""
        return self._failures.get(key, 0)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def take(self, now: float) -> str | None:
        """The next key that is due, from then on running; ``None`` when there is none."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if not self._ready:
            return None
        key, _ = self._ready.popitem(last=False)
        self._running.add(key)
        return key

    def done(self, key: str) -> None:
        """The key runs no more; if it was added meanwhile, it is ready again."""
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self._ready.setdefault(key)

    def next_due(self) -> float | None:
        """When the earliest delayed key becomes due."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def snapshot(self) -> dict[str, list[str]]:
        """What waits and what runs, for people who ask why nothing happens."""
        return {
            "ready": list(self._ready),
            "running": sorted(self._running),
            "delayed": sorted(self._due),
        }


class Queue:
    """A ``Schedule`` that tasks can wait on. Belongs to one event loop.

    Who waits is woken one by one: a key is work for one task.
    """

    def __init__(self, clock: Clock, backoff: Backoff | None = None) -> None:
        self._clock = clock
        self.schedule = Schedule(backoff)
        self._waiting: deque[anyio.Event] = deque()
        self.on_add: Callable[[str], None] = _nobody
        """Told of each key that is added."""

    def add(self, key: str) -> None:
        """The key should be looked at now."""
        self.schedule.add(key)
        self.on_add(key)
        self._wake()

    def add_all(self, keys: Iterable[str]) -> None:
        """All of these should be looked at now."""
        for key in keys:
            self.add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """The key should be looked at after that time; the earliest wish counts."""
        self.schedule.add_at(key, self._clock.monotonic() + max(seconds, 0.0))
        self._wake()

    def failed(self, key: str) -> float:
        """Plan the next attempt after a failure; returns the seconds until then."""
        delay = self.schedule.failed(key, self._clock.monotonic())
        self._wake()
        return delay

    def done(self, key: str) -> None:
        """The key runs no more."""
        self.schedule.done(key)
        if len(self.schedule):
            self._wake()

    async def get(self) -> str:
        """Wait for a key; the caller must call ``done`` with it."""
        while True:
            key = self.schedule.take(self._clock.monotonic())
            if key is not None:
                return key
            called = anyio.Event()
            self._waiting.append(called)
            due = self.schedule.next_due()
            try:
                if due is None:
                    await called.wait()
                else:
                    with anyio.move_on_after(max(due - self._clock.monotonic(), 0.0)):
                        await called.wait()
            finally:
                if called in self._waiting:
                    self._waiting.remove(called)
                elif len(self.schedule) > 1:
                    self._wake()  # called, for one of several

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()


def _nobody(_key: str) -> None:
    """Nobody is told."""
