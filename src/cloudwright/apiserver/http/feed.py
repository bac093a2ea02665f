"""What the native server is told: what is served, the objects, and each event once.

A *topic* is all watchers that see the same lines: one resource version, namespace, selector and
form. The face hands an event's line over once for each topic; the server's thread gives it to the
watchers. The newest objects go to the server's memory before the writer hears that they are
written, so that a read there is never older than an acknowledged write.
"""

from __future__ import annotations

import time
from collections.abc import Hashable

import anyio

from cloudwright._base import logs
from cloudwright.apiserver import watches
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.http.native import FaceServer
from cloudwright.apiserver.registry import Served
from cloudwright.apiserver.replies import WatchPlan
from cloudwright.apiserver.store.hub import prefixes
from cloudwright.apiserver.store.interface import Event

_log = logs.get("apiserver")
_PAGE = 500
_RIGHTS = ("/rbac.authorization.k8s.io/", "/core/serviceaccounts/")
"""Objects that decide who may do what."""
_HOLDERS = ("/core/pods/", "/core/secrets/", "/core/nodes/")
"""Objects that tokens are bound to: none outlives its object."""


class _Topic:
    """Watchers that see the same lines."""

    __slots__ = ("key", "number", "plan", "watchers")

    def __init__(self, number: int, key: Hashable, plan: WatchPlan) -> None:
        self.number = number
        self.key = key
        self.plan = plan
        self.watchers = 0


class Feed:
    """A ``store.interface.Listener`` that tells the native server."""

    def __init__(self, server: FaceServer, core: ApiCore) -> None:
        self._server = server
        self._core = core
        self._by_prefix: dict[str, dict[Hashable, _Topic]] = {}
        self._of: dict[int, _Topic] = {}
        self._topics = 0
        self._filling: set[str] | None = None
        self._stopped = False
        self._published = anyio.Event()

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

    def event(self, event: Event) -> None:
        """Give a write to the memory and to every topic that sees it."""
        if self._stopped:
            return
        key, revision = event.key, event.revision
        if self._filling is not None:
            self._filling.add(key)
        if key.startswith(_RIGHTS) or (event.deleted and key.startswith(_HOLDERS)):
            self._server.invalidate()
        self._server.put(key, None if event.deleted else event.value, revision)
        for prefix in prefixes(key) if self._by_prefix else ():
            for topic in self._by_prefix.get(prefix, {}).values():
                plan = topic.plan
                try:
                    line = watches.shown(event, plan.served, plan.chosen, plan.render)
                except Exception:
                    # A watch must not miss an event in silence, and must not stop the writer.
                    _log.exception("an event cannot be shown", extra={"key": key})
                    self._server.close_topic(topic.number)
                    continue
                if line is not None:
                    self._server.event(topic.number, revision, line)
        self._server.progress(revision)
        if self._published.statistics().tasks_waiting:
            self._published.set()
            self._published = anyio.Event()

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
            await self._published.wait()

    async def fill(self) -> None:
        """Give every object to the memory, page by page. What cannot be read is not kept there:
        whoever reads it is told why.
        """
        self._filling = set()
        self._core.store.listen(self)
        try:
            revision = await self._fill()
        except StoreError as error:
            _log.error("objects are not kept in memory", extra={"reason": error.message})
            return
        finally:
            self._filling = None
        self._server.progress(max(revision, self._core.store.revision))
        if self._core.store.exclusive:
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
        return self._attach(number, plan, from_memory=True)

    def attach(self, number: int, plan: WatchPlan) -> None:
        """Give the open stream ``number`` every later event. Everything up to ``plan.after`` was
        sent, and nothing was published since.
        """
        self._attach(number, plan, from_memory=False)

    def _attach(self, number: int, plan: WatchPlan, *, from_memory: bool) -> bool:
        served, key = plan.served, (plan.prefix, plan.topic)
        topics = self._by_prefix.setdefault(plan.prefix, {})
        topic = topics.get(key)
        if topic is None:
            self._topics += 1
            topic = topics[key] = _Topic(self._topics, key, plan)
        taken = self._server.watch(
            number,
            topic.number,
            plan.after,
            watches.around_bookmark(served) if plan.bookmarks else None,
            plan.seconds_left(),
            (plan.prefix, served.resource.api_version) if from_memory else None,
            watches.around_bookmark(served, initial_end=True) if plan.initial_end else None,
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
        self._server.forget(topic.number, number)
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
        sorted({*resource.subresources, "finalize", "binding", "eviction", "token"}),
    )
        served.bare,
