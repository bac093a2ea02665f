"""Seats of priority levels, and who gets the next one. Pure: no clock, no waiting.

Within a level, requests wait in queues; a flow is dealt a hand of them (shuffle sharding) and uses
the shortest, so that a busy flow fills few of the queues that a quiet one may use. Queues are
served by start-time fair queuing. A level lends what it may of its idle seats.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import ceil

from cloudwright.model.objects import Object, name_of, uid_of


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """A PriorityLevelConfiguration, as far as it matters. ``queues`` 0: reject what has no seat."""

    name: str
    uid: str
    exempt: bool
    shares: int
    lendable_percent: int
    borrowing_percent: int | None
    queues: int
    hand: int
    queue_length: int


def read(obj: Object) -> LevelSpec:
    """The spec of a PriorityLevelConfiguration."""
    spec = obj["spec"]
    exempt = spec["type"] == "Exempt"
    part = spec.get("exempt" if exempt else "limited") or {}
    response = part.get("limitResponse") or {}
    queuing = (response.get("queuing") or {}) if response.get("type") == "Queue" else {}
    return LevelSpec(
        name_of(obj),
        uid_of(obj),
        exempt,
        part.get("nominalConcurrencyShares", 0 if exempt else 30),
        part.get("lendablePercent") or 0,
        part.get("borrowingLimitPercent"),
        queuing.get("queues", 0),
        queuing.get("handSize", 0),
        queuing.get("queueLengthLimit", 0),
    )


class Waiting:
    """A request that waits for a seat. ``called`` is run once, when it gets one."""

    __slots__ = ("called", "gone", "queue", "start")

    def __init__(self, queue: Queue, called: Callable[[], None]) -> None:
        self.queue = queue
        self.called = called
        self.start = 0.0
        self.gone = False


class Queue:
    """Requests of some flows, first come first served."""

    __slots__ = ("finish", "number", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: deque[Waiting] = deque()
        self.finish = 0.0


class Level:
    """The seats of one priority level."""

    def __init__(self, spec: LevelSpec, seats: int, pool: Pool) -> None:
        self.spec = spec
        self.seats = seats
        self.lendable = ceil(seats * spec.lendable_percent / 100)
        percent = spec.borrowing_percent
        self.borrowable = None if percent is None else ceil(seats * percent / 100)
        self.executing = 0
        self.inqueue = 0
        self.dispatched = 0
        self.rejected = 0
        self._pool = pool
        self._queues: dict[int, Queue] = {}
        self._heads: list[tuple[float, int]] = []
        self._virtual = 0.0

    def take(self) -> bool:
        """Take a seat at once, if there is one and nobody waits."""
        if not (self.spec.exempt or (not self.inqueue and self._free())):
            return False
        self.executing += 1
        self.dispatched += 1
        return True

    def wait(self, flow: str, called: Callable[[], None]) -> Waiting | None:
        """Wait for a seat; ``None``: rejected, no queue of the flow has room."""
        spec = self.spec
        if not spec.queues:
            self.rejected += 1
            return None
        hand = deal(f"{spec.name}/{flow}", spec.queues, spec.hand)
        queue = min((self._queue(number) for number in hand), key=lambda q: len(q.waiting))
        if len(queue.waiting) >= spec.queue_length:
            self.rejected += 1
            return None
        entry = Waiting(queue, called)
        entry.start = max(self._virtual, queue.finish)
        queue.finish = entry.start + 1.0
        queue.waiting.append(entry)
        self.inqueue += 1
        if len(queue.waiting) == 1:
            heapq.heappush(self._heads, (entry.start, queue.number))
        return entry

    def leave(self) -> None:
        """Give a seat back: to who is next, here or where it was borrowed from."""
        self.executing -= 1
        if self.inqueue:
            self._dispatch()
        else:
            self._pool.dispatch()

    def give_up(self, entry: Waiting) -> None:
        """The request waits no longer: its client is gone, or it waited for too long."""
        if not entry.gone:
            entry.gone = True
            self.inqueue -= 1
            self.rejected += 1

    def _free(self) -> bool:
        if self.executing < self.seats:
            return True
        borrowed = self.executing - self.seats
        if self.borrowable is not None and borrowed >= self.borrowable:
            return False
        return self._pool.idle(self) > 0

    def _dispatch(self) -> None:
        while self.inqueue and self._free():
            entry = self._next()
            if entry is None:
                return
            entry.gone = True
            self.inqueue -= 1
            self.executing += 1
            self.dispatched += 1
            entry.called()

    def _next(self) -> Waiting | None:
        while self._heads:
            _, number = heapq.heappop(self._heads)
            queue = self._queues[number]
            found = queue.waiting.popleft()
            if queue.waiting:
                heapq.heappush(self._heads, (queue.waiting[0].start, number))
            else:
                del self._queues[number]
            if not found.gone:
                self._virtual = max(self._virtual, found.start)
                return found
        return None

    def _queue(self, number: int) -> Queue:
        queue = self._queues.get(number)
        return queue if queue is not None else self._queues.setdefault(number, Queue(number))

    def retire(self) -> None:
        """Let everyone who waits go on: the level is configured anew."""
        for queue in self._queues.values():
            for entry in queue.waiting:
                if not entry.gone:
                    entry.gone = True
                    self.executing += 1
                    entry.called()
        self._queues.clear()
        self._heads.clear()
        self.inqueue = 0


class Pool:
    """All levels; ``seats`` are divided by their shares."""

    def __init__(self, specs: Iterable[LevelSpec], seats: int) -> None:
        specs = list(specs)
        total = sum(spec.shares for spec in specs) or 1
        self.levels = {
            spec.name: Level(spec, ceil(seats * spec.shares / total), self) for spec in specs
        }

    def idle(self, borrower: Level) -> int:
        """Seats that other levels would lend now, less what is lent already."""
        lent = sum(max(level.executing - level.seats, 0) for level in self._limited())
        offered = sum(
            max(min(level.lendable, level.seats - level.executing), 0)
            for level in self._limited()
            if level is not borrower
        )
        return offered - lent

    def dispatch(self) -> None:
        """Let levels with waiting requests use seats that became idle."""
        for level in self.levels.values():
            if level.inqueue:
                level._dispatch()

    def _limited(self) -> Iterable[Level]:
        return (level for level in self.levels.values() if not level.spec.exempt)


@lru_cache(maxsize=8192)
def deal(flow: str, queues: int, hand: int) -> tuple[int, ...]:
    """``hand`` different numbers below ``queues``, always the same ones for a flow."""
    value = int.from_bytes(blake2b(flow.encode(), digest_size=16).digest(), "big")
    dealt: list[int] = []
    for left in range(queues, queues - min(hand, queues), -1):
        value, card = divmod(value, left)
        for taken in sorted(dealt):
            card += taken <= card
        dealt.append(card)
    return tuple(dealt)
