"""Hands committed events to watchers, from memory; pure bookkeeping, no clock, no disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache

import anyio

from cloudwright.apiserver.errors import CompactedError, SlowWatcherError
from cloudwright.apiserver.store.interface import Ahead, Event, Listener, Statistics

Replay = Callable[[str, int, int], Awaitable[list[Event]]]
"""``(prefix, after, up_to)`` → the next kept events, in order; empty when there are none left."""

_FOLDERS_MAX = 1024


class Hub:
    """The newest events and everyone who waits for the next ones."""

    def __init__(
        self,
        revision: int,
        *,
        replay: Replay,
        ring_events: int,
        ring_bytes: int,
        queue: int,
        statistics: Statistics,
    ) -> None:
        self.published = statistics.revision = revision
        self.statistics = statistics
        self._replay = replay
        self._ring: deque[Event] = deque()
        self._ring_events = ring_events
        self._ring_bytes = ring_bytes
        self._ring_size = 0
        self._ring_after = revision
        self._queue = queue
        self._watchers: dict[str, set[HubWatch]] = {}
        self._listeners: list[Listener] = []
        self._told: dict[str, tuple[Listener, ...]] = {}
        """Who hears of the writes in a folder, as far as it was asked for."""
        self.ahead: Ahead | None = None

    def __len__(self) -> int:
        return self.statistics.watchers

    def publish(self, event: Event) -> None:
        """Give ``event`` to every watcher of one of its key's prefixes. Never blocks."""
        assert event.revision > self.published, "revisions only grow"
        self.published = self.statistics.revision = event.revision
        self._remember(event)
        folder = event.key[: event.key.rfind("/") + 1]
        told = self._told.get(folder)
        for listener in self._telling(folder) if told is None else told:
            listener.event(event)
        watchers = self._watchers
        for prefix in _above(folder):
            if prefix in watchers:
                for watcher in tuple(watchers[prefix]):
                    watcher.offer(event)

    @property
    def oldest(self) -> int:
        """Events after this revision are in memory."""
        return self._ring_after

    def listen(self, listener: Listener) -> None:
        """Give ``listener`` every event from now on."""
        self._listeners.append(listener)
        self._told.clear()
        if isinstance(listener, Ahead):
            self.ahead = listener

    def _telling(self, folder: str) -> tuple[Listener, ...]:
        found = []
        for listener in self._listeners:
            about: tuple[str, ...] = getattr(listener, "about", ("",))
            if folder.startswith(about):
                found.append(listener)
        if len(self._told) >= _FOLDERS_MAX:
            self._told.clear()
        kept = self._told[folder] = tuple(found)
        return kept

    def advance(self, revision: int) -> None:
        """There are no further events up to ``revision``."""
        if revision > self.published:
            self.published = self.statistics.revision = revision

    def restart(self, revision: int) -> None:
        """Events up to ``revision`` were missed: every watcher must list again."""
        self.published = self.statistics.revision = revision
        self._ring.clear()
        self._ring_size = 0
        self._ring_after = revision
        for watchers in tuple(self._watchers.values()):
            for watcher in tuple(watchers):
                watcher.overrun()
        for listener in self._listeners:
            listener.lost()

    def watch(self, prefix: str, after: int, oldest: int) -> HubWatch:
        """A watcher of later events; ``oldest`` is the newest compacted revision."""
        assert prefix.endswith("/"), "a prefix ends in a slash"
        if after < oldest and after < self._ring_after:
            raise CompactedError(after, min(oldest, self._ring_after))
        watcher = HubWatch(self, prefix, after, self._queue)
        self._watchers.setdefault(prefix, set()).add(watcher)
        self.statistics.watchers += 1
        return watcher

    async def past(self, prefix: str, after: int, up_to: int) -> list[Event]:
        """Kept events of ``(after, up_to]``: from memory if all are there, else the next few
        from the disk.
        """
        if after < self._ring_after:
            return await self._replay(prefix, after, up_to)
        found: list[Event] = []
        # From the new end: who resumes was mostly here a moment ago.
        for event in reversed(self._ring):
            if event.revision <= after:
                break
            if event.revision <= up_to and event.key.startswith(prefix):
                found.append(event)
        found.reverse()
        return found

    def forget(self, watcher: HubWatch) -> None:
        """Give no more events to ``watcher``."""
        watchers = self._watchers.get(watcher.prefix)
        if watchers is not None and watcher in watchers:
            watchers.discard(watcher)
            self.statistics.watchers -= 1
            if not watchers:
                del self._watchers[watcher.prefix]

    def _remember(self, event: Event) -> None:
        self._ring.append(event)
        self._ring_size += _weight(event)
        while len(self._ring) > self._ring_events or self._ring_size > self._ring_bytes:
            gone = self._ring.popleft()
            self._ring_size -= _weight(gone)
            self._ring_after = gone.revision


class HubWatch:
    """One watcher's bounded queue. Events before its start come from history, the rest live."""

    def __init__(self, hub: Hub, prefix: str, after: int, limit: int) -> None:
        self.prefix = prefix
        self._hub = hub
        self._limit = limit
        self._queue: deque[Event] = deque()
        self._wake: anyio.Event | None = None
        self._overrun = False
        self._progress = after
        # Live delivery starts behind what was published when the watch began, and behind `after`
        # (which may lie in the future).
        self._live_after = max(after, hub.published)
        self._replaying = self.behind = after < hub.published
        # An attribute, not a property: every write asks it of several watches.

    @property
    def progress(self) -> int:
        """Every event up to this revision was handed out."""
        if self._queue or self._replaying or self._overrun:
            return self._progress
        return max(self._progress, self._hub.published)

    def offer(self, event: Event) -> None:
        """Queue a live event, or end the watch when the queue is full."""
        if event.revision <= self._live_after or self._overrun:
            return
        if len(self._queue) >= self._limit:
            self._hub.statistics.slow_watchers += 1
            self.overrun()
            return
        self._queue.append(event)
        self.behind = True
        if self._wake is not None:
            self._wake.set()

    def overrun(self) -> None:
        """End the watch: it missed events."""
        self._overrun = self.behind = True
        self._queue.clear()
        self._hub.forget(self)
        if self._wake is not None:
            self._wake.set()

    async def batch(self, seconds: float | None = None) -> list[Event]:
        """The next events, in revision order; none after ``seconds``, or when only the progress
        grew.
        """
        while True:
            if self._overrun:
                raise SlowWatcherError("the watch did not keep up with the events; list again")
            if self._replaying:
                events = await self._hub.past(self.prefix, self._progress, self._live_after)
                if self._overrun:
                    continue
                if not events:
                    self._replaying = False
                    self.behind = bool(self._queue)
                    self._progress = self._live_after
                    return []
            elif self._queue:
                events = list(self._queue)
                self._queue.clear()
                self.behind = False
            else:
                await self._wait(seconds)
                if not self._queue and not self._overrun:
                    return []
                continue
            self._progress = events[-1].revision
            return events

    async def _wait(self, seconds: float | None) -> None:
        """Until something is offered. A timer, not a cancel scope: a thousand watchers that wake
        for one event must not build a thousand scopes.
        """
        self._wake = anyio.Event()
        timer = None
        if seconds is not None:
            timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Stop receiving."""
        self._hub.forget(self)


def prefixes(key: str) -> Iterator[str]:
    """Each prefix of ``key`` that ends in a slash."""
    at = key.find("/")
    while at >= 0:
        yield key[: at + 1]
        at = key.find("/", at + 1)


@lru_cache(maxsize=_FOLDERS_MAX)
def _above(folder: str) -> tuple[str, ...]:
    # Most writes are to one of a few folders.
    return tuple(prefixes(folder))


def _weight(event: Event) -> int:
    # The value counts twice: what readers derive from it (an encoded line) is in the notes.
    return 2 * len(event.value) + (len(event.previous) if event.previous else 0) + 400
