"""The ConfigMaps and Secrets that this node's pods use: each is watched alone, as long as a pod
uses it, because a node may read no others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from cloudwright.client.client import Client
from cloudwright.client.informer import Callbacks, Informer
from cloudwright.model.objects import Object, uid_of
from cloudwright.model.references import Reference, references
from cloudwright.model.resources import CONFIG_MAP, SECRET

_RESOURCES = {"configmaps": CONFIG_MAP, "secrets": SECRET}
_PLURALS = {resource.kind: plural for plural, resource in _RESOURCES.items()}
_PATIENCE = 5.0
Changed = Callable[[str, Object], None]
"""``(kind, object)``: it is new, other or gone."""


class _Watched:
    """One object, and the pods that use it."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self.users: set[str] = set()
        self.scope = anyio.CancelScope()

    async def run(self) -> None:
        """Follow the object until nobody uses it."""
        with self.scope:
            await self.informer.run()


class PodObjects:
    """Looks objects up that are at hand. ``run`` must run before pods are held."""

    def __init__(self, client: Client, changed: Changed) -> None:
        self._client = client
        self._changed = changed
        self._watched: dict[Reference, _Watched] = {}
        self._tasks: TaskGroup | None = None
        self._running = anyio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._running.set()
            await anyio.sleep_forever()

    async def wait_running(self) -> None:
        """Return once pods may be held."""
        await self._running.wait()

    def hold(self, pod: Object) -> None:
        """Follow what the pod uses."""
        assert self._tasks is not None, "run() runs"
        for reference in _used(pod):
            watched = self._watched.get(reference)
            if watched is None:
                watched = self._watched[reference] = self._watch(reference)
                self._tasks.start_soon(watched.run)
            watched.users.add(uid_of(pod))

    def release(self, pod: Object) -> None:
        """The pod uses nothing any more."""
        for reference in _used(pod):
            watched = self._watched.get(reference)
            if watched is None:
                continue
            watched.users.discard(uid_of(pod))
            if not watched.users:
                del self._watched[reference]
                watched.scope.cancel()

    async def ready(self, pod: Object) -> None:
        """Return once everything that the pod uses was looked for, or after some seconds."""
        with anyio.move_on_after(_PATIENCE):
            for reference in _used(pod):
                watched = self._watched.get(reference)
                if watched is not None:
                    await watched.informer.wait_synced()

    def lookup(self, kind: str, namespace: str, name: str) -> Object | None:
        """A ``ConfigMap`` or ``Secret`` that a held pod uses."""
        watched = self._watched.get((_PLURALS[kind], namespace, name))
        obj = None if watched is None else watched.informer.store.get(f"{namespace}/{name}")
        return None if obj is None else {"kind": kind, **obj}

    def _watch(self, reference: Reference) -> _Watched:
        plural, namespace, name = reference
        resource = _RESOURCES[plural]
        selector = f"metadata.name={name}"
        informer = Informer(self._client, resource, namespace, field_selector=selector)
        informer.add_handler(Callbacks(partial(self._changed, resource.kind)))
        return _Watched(informer)


def _used(pod: Object) -> list[Reference]:
    return sorted(found for found in references(pod) if found[0] in _RESOURCES)
