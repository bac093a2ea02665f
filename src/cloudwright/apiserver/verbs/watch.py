"""``GET`` with ``watch=1``: changes as they happen, one JSON object a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
import orjson

from cloudwright.apiserver import encoding, listoptions, representation, selection, watches
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    ApiError,
    StoreError,
    from_store,
    revision_problem,
    version_too_large,
)
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.selection import Selection
from cloudwright.apiserver.status import failure
from cloudwright.apiserver.store.interface import Event, Watch
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_INITIAL_PAGE = 500
_PATIENCE = 5.0
"""Seconds for events that are there already."""
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
    plan = Plan(core, call, chosen, options)
    # What a webhook must convert first, no server can show by itself.
    return StreamReply(200, _HEADERS, plan.whole(), None if call.served.hook else plan)


class Plan:
    """One watch: all of it (``whole``), or its beginning for a server that does the rest."""

    def __init__(self, core: ApiCore, call: Call, chosen: Selection, options: Options) -> None:
        self.served = call.served
        self.chosen = chosen
        self.render = _render(core, call)
        self.encode: Callable[[bytes], bytes] | None = None
        self.prefix = call.served.prefix(call.namespace)
        self.bookmarks = options.bookmarks
        self.initial_end = options.initial_end
        plain = self.render is None and call.served.view is None
        self.from_memory = plain and chosen.everything and options.initial
        self.after = 0
        self._core = core
        self._call = call
        self._options = options
        self._end = anyio.current_time() + options.seconds

    @property
    def topic(self) -> Hashable:
        """Equal for watches that see the same lines of a prefix."""
        resource = self.served.resource
        form = representation.wanted(self._call)
        include = self._call.query.get("includeObject") if form == "table" else ""
        return (resource.group, resource.version, self.chosen, form, include, self.encode)

    def encode_by(self, encode: Callable[[bytes], bytes]) -> None:
        """The client takes no JSON: lines of ``beginning`` and of the topic go out like this."""
        self.encode = encode
        self.from_memory = False

    def seconds_left(self) -> float:
        """How long it may go on."""
        return max(self._end - anyio.current_time(), 0.0)

    async def beginning(self) -> AsyncGenerator[bytes, None]:
        """What exists and what happened until now."""
        encode = self.encode
        async with aclosing(self._run(live=False)) as chunks:
            async for chunk in chunks:
                if encode is None:
                    yield chunk
                else:
                    yield b"".join([encode(line) for line in chunk.splitlines()])

    async def whole(self) -> AsyncGenerator[bytes, None]:
        """The whole watch."""
        async with aclosing(self._run(live=True)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _run(self, *, live: bool) -> AsyncGenerator[bytes, None]:
        core, options = self._core, self._options
        source: Watch | None = None
        try:
            after = options.after
            if options.initial or after is None:
                after = await core.store.newest()
            source = core.store.watch(self.prefix, after=after)
            if options.initial:
                existing = _existing(core, self._call, self.chosen, after, self.render)
                async with aclosing(existing):
                    async for chunk in existing:
                        yield chunk
            if options.initial_end:
                yield watches.bookmark(self.served, after, initial_end=True)
            rest = self._live(source) if live else self._caught_up(source)
            async with aclosing(rest):
                async for chunk in rest:
                    yield chunk
        except StoreError as error:
            self._end = 0.0
            yield watches.line("ERROR", orjson.dumps(failure(from_store(error))))
        except ApiError as error:
            self._end = 0.0
            yield watches.line("ERROR", orjson.dumps(failure(error)))
        finally:
            if source is not None:
                self.after = source.progress
                source.close()

    async def _caught_up(self, source: Watch) -> AsyncGenerator[bytes, None]:
        while source.progress < self._core.store.revision:
            events = await source.batch(_PATIENCE)
            await self._convert(events)
            chunk = self._lines(events)
            if chunk:
                yield chunk

    async def _live(self, source: Watch) -> AsyncGenerator[bytes, None]:
        every = self._core.config.bookmark_seconds if self.bookmarks else float("inf")
        next_bookmark = anyio.current_time() + every
        while (now := anyio.current_time()) < self._end:
            if now >= next_bookmark:
                next_bookmark = now + every
                yield watches.bookmark(self.served, source.progress)
            events = await source.batch(min(self._end, next_bookmark) - now)
            await self._convert(events)
            chunk = self._lines(events)
            if chunk:
                yield chunk
        if self.bookmarks:
            yield watches.bookmark(self.served, source.progress)

    async def _convert(self, events: list[Event]) -> None:
        for part in ("value", "previous") if self.served.hook else ():
            values = (getattr(event, part) for event in events)
            await self._core.conversions.ready(self.served, values)

    def _lines(self, events: list[Event]) -> bytes:
        shown = (watches.shown(e, self.served, self.chosen, self.render) for e in events)
        return b"".join([line for line in shown if line is not None])


async def _existing(
    core: ApiCore, call: Call, chosen: Selection, revision: int, render: watches.Render | None
) -> AsyncGenerator[bytes, None]:
    """``ADDED`` for each object as of ``revision``."""
    prefix, after, more = call.served.prefix(call.namespace), "", True
    while more:
        page = await core.store.page(prefix, after=after, limit=_INITIAL_PAGE, revision=revision)
        more = page.more
        await core.conversions.ready(call.served, (record.value for record in page.records))
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
    listoptions.check(call)
    version = query.get("resourceVersion")
    if version and (not version.isascii() or not version.isdigit()):
        raise ApiError(500, "", revision_problem(version))
    bookmarks = query.flag("allowWatchBookmarks")
    wants_initial = query.get("sendInitialEvents")
    after = int(version) if version and version != "0" else None
    if after is not None and after > await core.store.newest():
        raise version_too_large(after, await core.store.newest())
    initial = query.flag("sendInitialEvents") if wants_initial else after is None
    limit = core.config.watch_seconds_max
    seconds = query.count("timeoutSeconds")
    return Options(
        after=after,
        initial=initial,
        initial_end=bool(wants_initial) and initial and bookmarks,
        bookmarks=bookmarks,
        seconds=min(seconds, limit) if seconds else limit,
    )
