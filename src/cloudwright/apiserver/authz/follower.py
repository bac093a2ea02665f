"""Keeps something derived from the store up to date, never behind what was published.

Nobody feeds it: whoever asks first takes the waiting events from the watch. What was acknowledged
before a request therefore holds for that request.
"""

from __future__ import annotations

from typing import Protocol

import anyio

from cloudwright.apiserver.errors import CompactedError, SlowWatcherError
from cloudwright.apiserver.store.interface import Record, Store, Watch

_PATIENCE = 5.0


class Derived(Protocol):
    """What is kept up to date."""

    def reset(self, records: list[Record]) -> None:
        """Forget everything; these are all the records there are."""

    def changed(self, key: str, value: bytes) -> None:
        """A record was written."""

    def removed(self, key: str) -> None:
        """A record was deleted."""


class Follower:
    """Tells a ``Derived`` of everything under one prefix."""

    def __init__(self, store: Store, prefix: str, derived: Derived) -> None:
        self._store = store
        self._prefix = prefix
        self._derived = derived
        self._watch: Watch | None = None
        self._lock = anyio.Lock()

    async def fresh(self) -> None:
        """Catch up with the newest published revision.

        Raises:
            StoreError: the store cannot be read.
        """
        watch = self._watch
        if watch is None or watch.progress < self._store.revision:
            async with self._lock:
                await self._catch_up(self._store.revision)

    async def _catch_up(self, goal: int) -> None:
        while True:
            watch = self._watch or await self._load()
            try:
                while watch.progress < goal:
                    for event in await watch.batch(_PATIENCE):
                        if event.deleted:
                            self._derived.removed(event.key)
                        else:
                            self._derived.changed(event.key, event.value)
                return
            except (SlowWatcherError, CompactedError):
                watch.close()
                self._watch = None

    async def _load(self) -> Watch:
        page = await self._store.page(self._prefix)
        watch = self._store.watch(self._prefix, after=page.revision)
        self._derived.reset(list(page.records))
        self._watch = watch
        return watch
