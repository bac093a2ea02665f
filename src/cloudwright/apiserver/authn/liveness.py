"""Whether the objects that tokens are bound to are still there, known without asking each time.

An answer is kept until the store tells of a write to one of the objects; a write to anything else
costs a look-up of its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import anyio

from cloudwright._base.clock import parse_rfc3339
from cloudwright.apiserver import encoding
from cloudwright.apiserver.authn.claims import LEEWAY, ClaimError, Holder
from cloudwright.apiserver.errors import CompactedError, SlowWatcherError
from cloudwright.apiserver.store.interface import Store, Watch
from cloudwright.model.objects import Object, uid_of

_PREFIX = "/core/"
_TOKENS_MAX = 10_000
_PATIENCE = 5.0


class Liveness:
    """Remembers which tokens' holders were seen alive."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watch: Watch | None = None
        self._lock = anyio.Lock()
        self._alive: dict[str, float] = {}
        self._by_key: dict[str, set[str]] = {}

    async def known(self, token: str) -> float | None:
        """Until when (epoch seconds) the token's holders are known to live, as of now."""
        await self._catch_up()
        return self._alive.get(token)

    async def check(self, token: str, holders: Sequence[Holder], now: float) -> list[Object]:
        """Look at each holder, and remember.

        Returns them in order.

        Raises:
            ClaimError: one is gone, or another of that name.
            StoreError: the store cannot be read.
        """
        await self._catch_up()
        until, found = float("inf"), []
        if len(self._alive) >= _TOKENS_MAX:
            self._forget_all()
        # Registered first: a write during the look-ups must not go unnoticed.
        for holder in holders:
            self._by_key.setdefault(holder.key, set()).add(token)
        for holder in holders:
            obj = await self._look_up(holder)
            until = min(until, _ends(holder, obj, now))
            found.append(obj)
        if all(token in self._by_key.get(holder.key, ()) for holder in holders):
            self._alive[token] = until
        return found

    async def _look_up(self, holder: Holder) -> Object:
        record = await self._store.get(holder.key)
        if record is None:
            if holder.plural == "serviceaccounts":
                raise ClaimError(f'serviceaccounts "{holder.name}" not found')
            raise ClaimError("service account token has been invalidated")
        obj = encoding.decode(record.value)
        if holder.uid and uid_of(obj) != holder.uid:
            if holder.plural == "serviceaccounts":
                raise ClaimError(
                    f"service account UID ({uid_of(obj)}) does not match claim ({holder.uid})"
                )
            kind = holder.plural.removesuffix("s")
            raise ClaimError(
                f"{kind} UID ({uid_of(obj)}) does not match service account {kind} ref claim "
                f"({holder.uid})"
            )
        return obj

    async def _catch_up(self) -> None:
        watch = self._watch
        if watch is not None and watch.progress >= self._store.revision:
            return
        async with self._lock:
            watch = self._watch
            if watch is None:
                self._watch = self._store.watch(_PREFIX, after=self._store.revision)
                return
            try:
                goal = self._store.revision
                while watch.progress < goal:
                    for event in await watch.batch(_PATIENCE):
                        for token in self._by_key.pop(event.key, ()):
                            self._alive.pop(token, None)
            except (SlowWatcherError, CompactedError):
                watch.close()
                self._watch = self._store.watch(_PREFIX, after=self._store.revision)
                self._forget_all()

    def _forget_all(self) -> None:
        self._alive.clear()
        self._by_key.clear()


def _ends(holder: Holder, obj: Object, now: float) -> float:
    """Until when an object that is being deleted still carries tokens."""
    deleted = obj["metadata"].get("deletionTimestamp")
    if not deleted:
        return float("inf")
    moment: datetime = parse_rfc3339(deleted)
    end = moment.timestamp() + LEEWAY
    if now > end:
        if holder.plural == "serviceaccounts":
            raise ClaimError(f"service account {holder.namespace}/{holder.name} has been deleted")
        raise ClaimError("service account token has been invalidated")
    return end
