"""The shared, read-only view of one kind: an informer with an index by owner."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from cloudwright._base import logs
from cloudwright.client.client import Client
from cloudwright.client.informer import Informer
from cloudwright.model.objects import Object, key_of, uid_of
from cloudwright.model.resources import Resource

Change = Callable[[Object | None, Object | None], None]
"""``(before, after)``; before is ``None`` for a new object, after for one that is gone."""

_LOG = logs.get("operator")
_OWNER = "owner"


class Cache:
    """Objects of one kind as last seen. They are shared: never change one, ``copy`` it."""

    def __init__(self, client: Client, resource: Resource, namespace: str = "") -> None:
        self.resource = resource
        self._informer = Informer(client, resource, namespace if resource.namespaced else "")
        self._informer.store.add_index(_OWNER, _owners)
        self._scope = anyio.CancelScope()

    def get(self, key: str) -> Object | None:
        """The object of that key (``namespace/name``)."""
        return self._informer.store.get(key)

    def all(self, namespace: str = "") -> list[Object]:
        """Every object (of a namespace), by key."""
        return self._informer.store.list(namespace)

    def owned_by(self, owner: Object) -> list[Object]:
        """The objects with an owner reference to ``owner``, controller or not."""
        return self._informer.store.by_index(_OWNER, uid_of(owner))

    @property
    def served(self) -> bool:
        """Whether the API has this kind, as far as is known."""
        return not self._informer.absent

    def on_served(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when the API begins or ceases to have this kind."""
        self._informer.on_presence(changed)

    def index(self, name: str, of: Callable[[Object], list[str]]) -> None:
        """Let ``found(name, value)`` give the objects for which ``of`` names that value."""
        self._informer.store.add_index(name, of)

    def found(self, name: str, value: str) -> list[Object]:
        """The objects that an index has under a value."""
        return self._informer.store.by_index(name, value)

    def subscribe(self, change: Change) -> None:
        """Tell ``change`` of every change, and of what is known already as new."""
        self._informer.add_handler(_Handler(change))

    async def run(self) -> None:
        """Follow the server until stopped or cancelled."""
        with self._scope:
            await self._informer.run()

    def stop(self) -> None:
        """End ``run``."""
        self._scope.cancel()

    async def wait_synced(self) -> None:
        """Return once the first list is here."""
        await self._informer.wait_synced()


class _Handler:
    """An informer's handler made of one function."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def on_add(self, obj: Object) -> None:
        self._tell(None, obj)

    def on_update(self, old: Object, new: Object) -> None:
        self._tell(old, new)

    def on_delete(self, obj: Object) -> None:
        self._tell(obj, None)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        """An object that one listener cannot read must not cut off the others."""
        try:
            self._change(old, new)
        except Exception:
            _LOG.exception("a change of %s was not understood", key_of(new or old or {}))


def _owners(obj: Object) -> list[str]:
    return [str(r.get("uid")) for r in obj["metadata"].get("ownerReferences") or []]
