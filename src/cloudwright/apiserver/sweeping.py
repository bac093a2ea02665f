"""Removing Events that nobody will read any more, so that the store stays small."""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import parse_rfc3339
from cloudwright.apiserver import encoding
from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Compare, Record, Txn, Write
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

STORAGE = storage_of("", "events")
_PAGE = 200
_TIMES = ("lastTimestamp", "eventTime", "firstTimestamp")
_log = logs.get("apiserver.sweeping")


async def run(core: ApiCore) -> None:
    """Sweep every ``config.sweep_seconds``, for ever."""
    while True:
        await anyio.sleep(core.config.sweep_seconds)
        try:
            await sweep(core)
        except StoreError as error:
            _log.warning("old events stay for now", extra={"why": error.message})


async def sweep(core: ApiCore) -> int:
    """Remove old Events once; how many went.

    Raises:
        StoreError: the store cannot be read or written.
    """
    oldest = core.clock.now() - timedelta(seconds=core.config.event_seconds)
    expired: list[Record] = []
    kept: list[tuple[datetime, str, Record]] = []
    after, more = "", True
    while more:
        page = await core.store.page(STORAGE, after=after, limit=_PAGE)
        more = page.more
        for record in page.records:
            after = record.key
            seen = last_seen(encoding.decode(record.value))
            if seen < oldest:
                expired.append(record)
            else:
                kept.append((seen, record.key, record))
        # Other requests go first: this is never urgent.
        await anyio.lowlevel.checkpoint()
    surplus = len(kept) - core.config.event_count_max
    if surplus > 0:
        expired += [record for _, _, record in heapq.nsmallest(surplus, kept)]
    for record in expired:
        template = encoding.template(encoding.decode(record.value))
        guard = Compare(record.key, record.revision)
        await core.store.commit(Txn((guard,), Write(record.key, template, delete=True)))
    return len(expired)


def last_seen(event: Object) -> datetime:
    """When a stored event happened last."""
    series = (event.get("series") or {}).get("lastObservedTime")
    times = [series, *(event.get(name) for name in _TIMES)]
    text = next((one for one in times if one), event["metadata"]["creationTimestamp"])
    return parse_rfc3339(text)
