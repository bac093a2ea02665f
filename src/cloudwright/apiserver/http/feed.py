"""What the native server is told: what is served, the objects, and each event once.

A *topic* is all watchers that see the same lines: one resource version, namespace, selector, form
and encoding. The face hands an event's line over once for each topic; the server's threads give it
to the watchers. The newest objects go to the server's memory before the writer hears that they are
written, so that a read there is never older than an acknowledged write.

A store that tells of a write before it is durable (``store.interface.Ahead``) has its lines made
while the disk works; the thread that waited for the disk lets them go. Until the event loop hears
of these writes too, no watcher is added: it would miss them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence

import anyio
import orjson

from cloudwright._base import logs
from cloudwright.apiserver import watches
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.errors import SlowWatcherError, StoreError, from_store
from cloudwright.apiserver.http.native import FaceServer
from cloudwright.apiserver.registry import Served
from cloudwright.apiserver.replies import WatchPlan
from cloudwright.apiserver.status import failure
from cloudwright.apiserver.store.hub import prefixes
from cloudwright.apiserver.store.interface import Event

_log = logs.get("apiserver")
_PAGE = 500
_RIGHTS = ("/rbac.authorization.k8s.io/", "/core/serviceaccounts/")
"""Objects that decide who may do what."""
_HOLDERS = ("/core/pods/", "/core/secrets/", "/core/nodes/")
"""Objects that tokens are bound to: none outlives its object."""


Objects = list[tuple[str, bytes | None, int]]
"""Keys, newest texts and revisions."""
Lines = list[tuple[int, int, bytes]]
"""Topics, revisions and lines for their watchers."""
_SLOW = "the watch did not keep up with the events; list again"
_OVERRUN = watches.line(
    "ERROR",
    orjson.dumps(failure(from_store(SlowWatcherError(_SLOW)))),
)
"""For a watcher that did not read: it lists again."""


class _Topic:
    """Watchers that see the same lines."""

    __slots__ = ("key", "number", "plan", "watchers")

    def __init__(self, number: int, key: Hashable, plan: WatchPlan) -> None:
        self.number = number
        self.key = key
        self.plan = plan
        self.watchers = 0


class _Late:
    """A watcher that comes while writes are held."""

    __slots__ = ("added", "from_memory", "number", "plan")

    def __init__(self, number: int, plan: WatchPlan, *, from_memory: bool) -> None:
        self.number = number
        self.plan = plan
        self.from_memory = from_memory
        self.added: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Feed:
    """A ``store.interface.Ahead`` that tells the native server."""

    def __init__(self, server: FaceServer, core: ApiCore) -> None:
        self._server = server
        self._core = core
        self._by_prefix: dict[str, dict[Hashable, _Topic]] = {}
        self._of: dict[int, _Topic] = {}
        self._topics = 0
        self._filling: set[str] | None = None
        self._spoilt = False
        self._held: Sequence[Event] = ()
        self._late: list[_Late] = []
        self._stopped = False
        self._published = anyio.Event()
        self._waiting = 0
        """Who waits for that."""

    @staticmethod
    def now() -> float:
        """Seconds since 1970."""
        return time.time()

    def start(self) -> None:
        """Tell what is served, now and whenever that changes."""
        self._kinds()
        self._core.registry.listeners.append(self._kinds)

    def stop(self) -> None:
        """Tell nothing any more."""
        self._stopped = True
        self._published.set()
        self._core.registry.listeners.remove(self._kinds)

    def _kinds(self) -> None:
        self._server.kinds([_row(served) for served in self._core.registry.all()])

    def invalidate(self) -> None:
        """Rights or credentials changed: nobody is allowed anything until asked again."""
        self._server.invalidate()

    # --- events

    def hold(self, events: Sequence[Event]) -> None:
        """Make ready what is being written."""
        if events and not self._stopped:
            self._held = events
            self._server.hold(*self._change(events))
        else:
            self._server.hold([], [], False, 0)

    def release(self) -> None:
        """Show it."""
        self._server.release()

    def discard(self) -> None:
        """It was not written."""
        if self._filling is not None and self._held:
            self._spoilt = True  # the filling passed over these keys
        self._held = ()
        self._server.discard()
        self._add_late(())

    def event(self, event: Event) -> None:
        """Give a write to the memory and to every topic that sees it, unless that was done."""
        if self._stopped:
            return
        held = self._held
        if not held:
            self._server.publish(*self._change((event,)))
        if _decides(event):
            # Here too: until now, decisions were made by what was before.
            self._server.invalidate()
        if held and event.revision == held[-1].revision:
            self._held = ()
            self._add_late(held)
        if self._waiting:
            self._published.set()
            self._published = anyio.Event()

    def _change(self, events: Sequence[Event]) -> tuple[Objects, Lines, bool, int]:
        """What the server is told of writes."""
        objects: Objects = []
        lines: Lines = []
        for event in events:
            key, revision = event.key, event.revision
            if self._filling is not None:
                self._filling.add(key)
            objects.append((key, None if event.deleted else event.value, revision))
            for prefix in prefixes(key) if self._by_prefix else ():
                for topic in self._by_prefix.get(prefix, {}).values():
                    line = self._line(topic, event)
                    if line is not None:
                        lines.append((topic.number, revision, line))
        return objects, lines, any(map(_decides, events)), events[-1].revision

    def _line(self, topic: _Topic, event: Event) -> bytes | None:
        try:
            return _shown(topic.plan, event)
        except Exception:
            # A watch must not miss an event in silence, and must not stop the writer.
            _log.exception("an event cannot be shown", extra={"key": event.key})
            self._server.close_topic(topic.number)
            return None

    def _add_late(self, events: Sequence[Event]) -> None:
        """Add those who came while ``events`` were held, with what they must see of them."""
        late, self._late = self._late, []
        for one in late:
            if one.added.done():
                continue
            try:
                one.added.set_result(self._add(one, events))
            except Exception as error:
                one.added.set_exception(error)

    def _add(self, late: _Late, events: Sequence[Event]) -> bool:
        plan = late.plan
        if late.from_memory:
            return self._attach(late.number, plan, plan.after, from_memory=True)
        seen = [e for e in events if e.revision > plan.after and e.key.startswith(plan.prefix)]
        lines = [line for event in seen if (line := _shown(plan, event)) is not None]
        if lines:
            self._server.write(late.number, b"".join(lines))
        after = max(plan.after, events[-1].revision) if events else plan.after
        return self._attach(late.number, plan, after, from_memory=False)

    def lost(self) -> None:
        """Events were missed: watchers list again, and the memory is not used any more."""
        self._server.reset()

    async def settled(self) -> None:
        """Wait until what can be read in the store is also in the memory: a caller that saw a
        write must not be shown the state before it.
        """
        store = self._core.store
        if not store.exclusive:
            return
        newest = await store.newest()
        while store.revision < newest and not self._stopped:
            self._waiting += 1
            try:
                await self._published.wait()
            finally:
                self._waiting -= 1

    async def fill(self) -> None:
        """Give every object to the memory, page by page. What cannot be read is not kept there:
        whoever reads it is told why.
        """
        self._filling, self._spoilt = set(), False
        self._core.store.listen(self)
        try:
            revision = await self._fill()
        except StoreError as error:
            _log.error("objects are not kept in memory", extra={"reason": error.message})
            return
        finally:
            self._filling = None
        self._server.progress(max(revision, self._core.store.revision))
        if self._core.store.exclusive and not self._spoilt:
            self._server.ready(revision)

    async def _fill(self) -> int:
        assert self._filling is not None, "filling"
        after, revision, more = "", 0, True
        while more:
            page = await self._core.store.page("/", after=after, limit=_PAGE, revision=revision)
            revision, more = page.revision, page.more
            for record in page.records:
                after = record.key
                if record.key not in self._filling:
                    self._server.put(record.key, record.value, 0)
        return revision

    # --- watchers

    async def attach_at_once(self, number: int, plan: WatchPlan) -> bool:
        """Let the server send what exists, from its memory, and every later event; false: it
        cannot.
        """
        await self.settled()
        return await self._attach_soon(number, plan, from_memory=True)

    async def attach(self, number: int, plan: WatchPlan) -> None:
        """Give the open stream ``number`` every later event. Everything up to ``plan.after`` was
        sent, and nothing was published since.
        """
        await self._attach_soon(number, plan, from_memory=False)

    async def _attach_soon(self, number: int, plan: WatchPlan, *, from_memory: bool) -> bool:
        if not self._held:
            return self._attach(number, plan, plan.after, from_memory=from_memory)
        late = _Late(number, plan, from_memory=from_memory)
        self._late.append(late)
        try:
            return await late.added
        except asyncio.CancelledError:
            if late.added.done() and not late.added.cancelled():
                self.gone(number)
            raise

    def _attach(self, number: int, plan: WatchPlan, after: int, *, from_memory: bool) -> bool:
        served, key = plan.served, (plan.prefix, plan.topic)
        topics = self._by_prefix.setdefault(plan.prefix, {})
        topic = topics.get(key)
        if topic is None:
            self._topics += 1
            topic = topics[key] = _Topic(self._topics, key, plan)
        taken = self._server.watch(
            number,
            topic.number,
            after,
            watches.around_bookmark(served, plan.encode) if plan.bookmarks else None,
            plan.seconds_left(),
            (plan.prefix, served.resource.api_version) if from_memory else None,
            watches.around_bookmark(served, initial_end=True) if plan.initial_end else None,
            plan.encode(_OVERRUN) if plan.encode is not None else _OVERRUN,
        )
        if taken:
            topic.watchers += 1
            self._of[number] = topic
        elif not topic.watchers:
            self._drop(topic)
        return taken

    def gone(self, number: int) -> None:
        """A watcher left, or its time was over."""
        topic = self._of.pop(number, None)
        if topic is None:
            return
        self._server.forget(number)
        topic.watchers -= 1
        if not topic.watchers:
            self._drop(topic)

    def _drop(self, topic: _Topic) -> None:
        topics = self._by_prefix[topic.plan.prefix]
        del topics[topic.key]
        if not topics:
            del self._by_prefix[topic.plan.prefix]


def _shown(plan: WatchPlan, event: Event) -> bytes | None:
    line = watches.shown(event, plan.served, plan.chosen, plan.render)
    return line if line is None or plan.encode is None else plan.encode(line)


def _decides(event: Event) -> bool:
    """Whether a write changes who may do what."""
    return event.key.startswith(_RIGHTS) or (event.deleted and event.key.startswith(_HOLDERS))


def _row(served: Served) -> tuple[str, str, str, bool, str, str, bool, bool, list[str]]:
    resource = served.resource
    return (
        resource.group,
        resource.version,
        resource.plural,
        resource.namespaced,
        served.storage,
        served.list_kind,
        served.view is None and not served.warning,
        served.bare,
        sorted({*resource.subresources, "finalize", "binding", "eviction", "token"}),
    )
