"""A local, always current copy of one kind: list once, then watch; list again when the history
is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from logging import DEBUG, INFO, WARNING
from random import Random
from typing import Protocol

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client, WatchEvent
from cloudwright.client.errors import Expired, NotFound
from cloudwright.model.objects import Object, key_of, resource_version
from cloudwright.model.resources import Resource

_log = logs.get("client")
BACKOFF_FIRST = 0.2
BACKOFF_MAX = 30.0

Index = Callable[[Object], list[str]]
Objects = list[Object]


class Handler(Protocol):
    """What wants to know of changes. Called in order, between two awaits; must not block."""

    def on_add(self, obj: Object) -> None:
        """An object that was not known."""

    def on_update(self, old: Object, new: Object) -> None:
        """A newer revision of a known object."""

    def on_delete(self, obj: Object) -> None:
        """An object that is gone (its last known revision)."""


class Store:
    """Objects by key (``namespace/name``), with indexes. Objects are shared: never change one."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._indexes: dict[str, tuple[Index, dict[str, dict[str, Object]]]] = {}

    def add_index(self, name: str, index: Index) -> None:
        """Let ``by_index(name, value)`` find the objects for which ``index`` gives ``value``."""
        table: dict[str, dict[str, Object]] = {}
        self._indexes[name] = (index, table)
        for key, obj in self._objects.items():
            for value in index(obj):
                table.setdefault(value, {})[key] = obj

    def get(self, key: str) -> Object | None:
        """The object of that key."""
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Objects:
        """Every object (of a namespace), by key."""
        if not namespace:
            return [self._objects[key] for key in sorted(self._objects)]
        prefix = f"{namespace}/"
        return [self._objects[key] for key in sorted(self._objects) if key.startswith(prefix)]

    def by_index(self, name: str, value: str) -> Objects:
        """The objects that an index knows under ``value``."""
        return list(self._indexes[name][1].get(value, {}).values())

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def put(self, obj: Object, key: str = "") -> Object | None:
        """Keep ``obj`` (whose key may be known already); returns what was there before."""
        key = key or key_of(obj)
        old = self.remove(key)
        self._objects[key] = obj
        for index, table in self._indexes.values():
            for value in index(obj):
                table.setdefault(value, {})[key] = obj
        return old

    def remove(self, key: str) -> Object | None:
        """Forget a key; returns what was there."""
        old = self._objects.pop(key, None)
        if old is None:
            return None
        for index, table in self._indexes.values():
            for value in index(old):
                members = table.get(value, {})
                members.pop(key, None)
                if not members:
                    table.pop(value, None)
        return old

    def keys(self) -> set[str]:
        """Every key."""
        return set(self._objects)


class Informer:
    """One kind's copy. ``run`` belongs into a task group; ``wait_synced`` returns after the
    first list.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        random: Random | None = None,
    ) -> None:
        self.client = client
        self.resource = resource
        self.store = Store()
        self._scope = (namespace, label_selector, field_selector)
        self._handlers: list[Handler] = []
        self._synced = anyio.Event()
        self._version = ""
        self._heard = False
        self.absent = False
        """Whether the API has no such kind (now): then there are no objects, for certain."""
        self._presence: list[Callable[[], None]] = []
        self._random = random or Random()  # noqa: S311 (jitter, not secrecy)

    @property
    def synced(self) -> bool:
        """Whether the first list is in the store."""
        return self._synced.is_set()

    def add_handler(self, handler: Handler) -> None:
        """Tell ``handler`` of changes; what is known already is told as added at once."""
        self._handlers.append(handler)
        for obj in self.store:
            handler.on_add(obj)

    def on_presence(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when the API begins or ceases to have this kind."""
        self._presence.append(changed)

    async def wait_synced(self) -> None:
        """Return once the first list is in the store, or the API says that there is no such
        kind: nobody waits for a CustomResourceDefinition that is not installed.
        """
        await self._synced.wait()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
        """List and watch until cancelled. An API that does not answer, or whose watches bring
        nothing, is asked again with a back-off; one event ends the back-off.
        """
        delay = 0.0
        while True:
            self._heard = False
            failed = False
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Expired:
                self._version = ""
            except CloudwrightError as error:
                failed = True
                level, text = WARNING, "watch of %s is interrupted: %s"
                if isinstance(error, NotFound):
                    self._version = ""
                    level, text = INFO if self._absence() else DEBUG, "the API has no %s: %s"
                _log.log(level, text, self.resource.plural, error.message)
            delay = 0.0 if self._heard else min(max(delay * 2, BACKOFF_FIRST), BACKOFF_MAX)
            if failed:
                delay = max(delay, BACKOFF_FIRST)
            await sleep(delay * (0.5 + self._random.random() / 2))

    def _absence(self) -> bool:
        """The kind is not there; returns whether that is new."""
        for key in sorted(self.store.keys()):
            self._remove(key)
        self._synced.set()
        return self._present(False)

    def _present(self, present: bool) -> bool:
        changed = self.absent == present
        self.absent = not present
        if changed:
            for tell in self._presence:
                tell()
        return changed

    async def _list(self) -> None:
        namespace, labels, fields = self._scope
        found = await self.client.list(
            self.resource, namespace, label_selector=labels, field_selector=fields
        )
        gone = self.store.keys() - {key_of(obj) for obj in found.items}
        for obj in found.items:
            self._put(obj)
        for key in sorted(gone):
            self._remove(key)
        self._version = found.resource_version
        self._synced.set()
        self._present(True)

    async def _watch(self) -> None:
        namespace, labels, fields = self._scope
        events = self.client.watch(
            self.resource,
            namespace,
            resource_version=self._version,
            label_selector=labels,
            field_selector=fields,
        )
        async with aclosing(events) as stream:
            async for event in stream:
                self._heard = True
                self._apply(event)

    def _apply(self, event: WatchEvent) -> None:
        version = resource_version(event.object)
        if event.type == "DELETED":
            if self.store.get(key_of(event.object)) is not None:
                self.store.put(event.object)  # handlers are told the last revision
                self._remove(key_of(event.object))
        elif event.type in ("ADDED", "MODIFIED"):
            self._put(event.object)
        if version:
            self._version = version

    def _put(self, obj: Object) -> None:
        key = key_of(obj)
        known = self.store.get(key)
        if known is not None and resource_version(known) == resource_version(obj):
            return
        old = self.store.put(obj, key)
        replaced = old is not None and _uid(old) != _uid(obj)
        for handler in self._handlers:
            if old is None:
                handler.on_add(obj)
            elif replaced:
                handler.on_delete(old)
                handler.on_add(obj)
            else:
                handler.on_update(old, obj)

    def _remove(self, key: str) -> None:
        old = self.store.remove(key)
        if old is not None:
            for handler in self._handlers:
                handler.on_delete(old)


class Callbacks:
    """A ``Handler`` from one function that is told the object of any change."""

    def __init__(self, changed: Callable[[Object], None]) -> None:
        self._changed = changed

    def on_add(self, obj: Object) -> None:
        """Pass it on."""
        self._changed(obj)

    def on_update(self, old: Object, new: Object) -> None:
        """Pass the new one on."""
        self._changed(new)

    def on_delete(self, obj: Object) -> None:
        """Pass the last one on."""
        self._changed(obj)


def _uid(obj: Object) -> str:
    return str(obj.get("metadata", {}).get("uid", ""))
