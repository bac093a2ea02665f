"""A copy in memory of the objects under one prefix of the store, never behind what was published.

Nobody feeds it: whoever asks first takes the waiting events from the watch. A configuration that
was acknowledged therefore holds for every later request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import anyio

from cloudwright.apiserver import encoding
from cloudwright.apiserver.errors import CompactedError, SlowWatcherError
from cloudwright.apiserver.store.interface import Store, Watch
from cloudwright.model.objects import Object

T = TypeVar("T")
_PATIENCE = 5.0


class Shelf(Generic[T]):
    """Objects by store key, each digested once by ``digest``.

    ``generation`` grows with each change, so that a reader may keep what it derived.
    """

    def __init__(self, store: Store, prefix: str, digest: Callable[[Object], T]) -> None:
        self._store = store
        self._prefix = prefix
        self._digest = digest
        self._items: dict[str, T] = {}
        self._watch: Watch | None = None
        self._lock = anyio.Lock()
        self.generation = 0

    async def fresh(self) -> Mapping[str, T]:
        """The items as of the newest published revision. Do not change the mapping.

        Raises:
            StoreError: the store cannot be read.
        """
        if self.current() is None:
            async with self._lock:
                await self._catch_up(self._store.revision)
        return self._items

    def current(self) -> Mapping[str, T] | None:
        """The same where nothing has to be waited for, else ``None``."""
        watch = self._watch
        return None if watch is None or watch.behind else self._items

    def is_empty(self) -> bool:
        """Whether it is known, without waiting, that nothing is there."""
        watch = self._watch
        return watch is not None and not watch.behind and not self._items

    async def _catch_up(self, goal: int) -> None:
        while True:
            watch = self._watch or await self._load()
            try:
                while watch.progress < goal:
                    for event in await watch.batch(_PATIENCE):
                        self.generation += 1
                        if event.deleted:
                            self._items.pop(event.key, None)
                        else:
                            self._items[event.key] = self._digest(encoding.decode(event.value))
            except (SlowWatcherError, CompactedError):
                watch.close()
                self._watch = None
                continue
            return

    async def _load(self) -> Watch:
        page = await self._store.page(self._prefix)
        watch = self._store.watch(self._prefix, after=page.revision)
        self._items = {
            record.key: self._digest(encoding.decode(record.value)) for record in page.records
        }
        self.generation += 1
        self._watch = watch
        return watch
