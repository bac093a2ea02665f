"""``GET`` with ``watch=1``: changes as they happen, one JSON object a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
import orjson

from cloudwright.apiserver import encoding, representation, selection, watches
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    StoreError,
    bad_request,
    from_store,
    invalid,
    version_too_large,
)
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.selection import Selection
from cloudwright.apiserver.status import failure
from cloudwright.apiserver.store.interface import Watch
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_INITIAL_PAGE = 500
_HEADERS = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the query of a watch says. ``after`` is ``None`` for "from the state as it is"."""

    after: int | None
    initial: bool
    """Send the existing objects first."""
    initial_end: bool
    """Tell by a bookmark when they were all sent."""
    bookmarks: bool
    seconds: float


async def watch(core: ApiCore, call: Call) -> StreamReply:
    """200 and a stream of events; a start that is no longer kept is an ``ERROR`` event (410)."""
    chosen = selection.of(call)
    options = await _options(core, call)
    render = _render(core, call)
    return StreamReply(200, _HEADERS, _stream(core, call, chosen, options, render))


async def _stream(
    core: ApiCore,
    call: Call,
    chosen: Selection,
    options: Options,
    render: watches.Render | None,
) -> AsyncGenerator[bytes, None]:
    end = anyio.current_time() + options.seconds
    source: Watch | None = None
    try:
        after = options.after
        if options.initial or after is None:
            after = await core.store.newest()
        source = core.store.watch(call.served.prefix(call.namespace), after=after)
        if options.initial:
            async with aclosing(_existing(core, call, chosen, after, render)) as existing:
                async for chunk in existing:
                    yield chunk
        if options.initial_end:
            yield watches.bookmark(call.served, after, initial_end=True)
        async with aclosing(_live(core, call, chosen, options, render, source, end)) as live:
            async for chunk in live:
                yield chunk
    except StoreError as error:
        yield watches.line("ERROR", orjson.dumps(failure(from_store(error))))
    finally:
        if source is not None:
            source.close()


async def _existing(
    core: ApiCore, call: Call, chosen: Selection, revision: int, render: watches.Render | None
) -> AsyncGenerator[bytes, None]:
    """``ADDED`` for each object as of ``revision``."""
    prefix, after, more = call.served.prefix(call.namespace), "", True
    while more:
        page = await core.store.page(prefix, after=after, limit=_INITIAL_PAGE, revision=revision)
        more = page.more
        lines = []
        for record in page.records:
            after = record.key
            if not chosen.everything and not chosen.matches(encoding.decode(record.value)):
                continue
            if render is None:
                body = encoding.shown_bytes(call.served, record.value)
            else:
                body = render(encoding.shown(call.served, record.value))
            lines.append(watches.line("ADDED", body))
        if lines:
            yield b"".join(lines)


async def _live(
    core: ApiCore,
    call: Call,
    chosen: Selection,
    options: Options,
    render: watches.Render | None,
    source: Watch,
    end: float,
) -> AsyncGenerator[bytes, None]:
    every = core.config.bookmark_seconds if options.bookmarks else float("inf")
    next_bookmark = anyio.current_time() + every
    while (now := anyio.current_time()) < end:
        if now >= next_bookmark:
            next_bookmark = now + every
            yield watches.bookmark(call.served, source.progress)
        lines = []
        for event in await source.batch(min(end, next_bookmark) - now):
            text = watches.shown(event, call.served, chosen, render)
            if text is not None:
                lines.append(text)
        if lines:
            yield b"".join(lines)
    if options.bookmarks:
        yield watches.bookmark(call.served, source.progress)


def _render(core: ApiCore, call: Call) -> watches.Render | None:
    form = representation.wanted(call)
    if form == "plain":
        return None
    if form == "partial":
        return lambda obj: orjson.dumps(encoding.partial(obj))
    return partial(_table, core, call)


def _table(core: ApiCore, call: Call, obj: Object) -> bytes:
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return orjson.dumps(representation.table(call, [obj], metadata, core.clock.now()))


async def _options(core: ApiCore, call: Call) -> Options:
    query = call.query
    version, match = query.get("resourceVersion"), query.get("resourceVersionMatch")
    if version and (not version.isascii() or not version.isdigit()):
        raise bad_request(f'invalid resource version "{version}": it must be a whole number')
    bookmarks = query.flag("allowWatchBookmarks")
    wants_initial = query.get("sendInitialEvents")
    _check_initial(wants_initial, match)
    after = int(version) if version and version != "0" else None
    if after is not None and after > await core.store.newest():
        raise version_too_large(after, await core.store.newest())
    initial = query.flag("sendInitialEvents") if wants_initial else after is None
    limit = core.config.watch_seconds_max
    seconds = query.whole("timeoutSeconds")
    return Options(
        after=after,
        initial=initial,
        initial_end=bool(wants_initial) and initial and bookmarks,
        bookmarks=bookmarks,
        seconds=min(seconds, limit) if seconds else limit,
    )


def _check_initial(wants_initial: str, match: str) -> None:
    if wants_initial and match != "NotOlderThan":
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    elif match and not wants_initial:
        message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    else:
        return
    cause = {
        "reason": "FieldValueForbidden",
        "message": f"Forbidden: {message}",
        "field": "resourceVersionMatch",
    }
    raise invalid("meta.k8s.io", "ListOptions", "", [cause])
