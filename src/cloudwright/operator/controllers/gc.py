"""Garbage collection: what its owners leave behind goes, in the way the deletion asked for.

Works for every served kind: kinds come from discovery, again whenever a
CustomResourceDefinition changes.
"""

from __future__ import annotations

import anyio

from cloudwright._base import logs
from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.model.objects import (
    Object,
    deleting,
    finalizers_of,
    key_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from cloudwright.model.resources import CUSTOM_RESOURCE_DEFINITION, Resource
from cloudwright.operator.cache import Cache
from cloudwright.operator.engines import gc as engine
from cloudwright.operator.engines.actions import Delete, Patch
from cloudwright.operator.engines.gc import Owner, Verdict
from cloudwright.operator.manager import DONE, Controller, Result

_LOG = logs.get("operator.gc")
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_RETRY_SECONDS = 5.0


class GarbageCollector(Controller):
    """Keys are ``group/plural|namespace/name``."""

    name = "garbage-collector"

    def setup(self) -> None:
        """Start with the definitions; discovery brings the rest."""
        self.caches: dict[tuple[str, str], Cache] = {}
        self.by_kind: dict[tuple[str, str], Resource] = {}
        self._rediscover = anyio.Event()
        self.manager.cache(CUSTOM_RESOURCE_DEFINITION).subscribe(self._definitions_changed)

    def _definitions_changed(self, old: Object | None, new: Object | None) -> None:
        self._rediscover.set()

    async def background(self) -> None:
        """Follow discovery: watch kinds that appear, forget kinds that vanish."""
        while True:
            self._rediscover = anyio.Event()
            try:
                await self.follow_discovery()
            except CloudwrightError as error:
                _LOG.warning("discovery failed: %s; again in %.0f s", error, _RETRY_SECONDS)
                with anyio.move_on_after(_RETRY_SECONDS):
                    await self._rediscover.wait()
                continue
            await self._rediscover.wait()

    async def follow_discovery(self) -> None:
        """Bring the set of watched kinds to what the server offers."""
        served = {
            (r.group, r.plural): r
            for r in await self.api.discover()
            if (r.group, r.plural) not in _IGNORED
        }
        self.by_kind = {(r.api_version, r.kind): r for r in served.values()}
        for key in set(self.caches) - set(served):
            cache = self.caches.pop(key)
            self.manager.drop_cache(cache.resource)
        fresh = [(key, resource) for key, resource in served.items() if key not in self.caches]
        for key, resource in fresh:
            self.caches[key] = self.manager.cache(resource)
        # Only now: what is told at once may look into any of them.
        for key, resource in fresh:
            self.caches[key].subscribe(_Changed(self, resource))

    def changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        """Queue whoever may be concerned: the object, its dependents, its waiting owners."""
        obj = new or old
        if obj is None:
            return
        references = obj["metadata"].get("ownerReferences") or []
        if new is not None and (references or deleting(new)):
            self.queue.add(_key(resource, key_of(new)))
        if new is None or deleting(new):
            for kind, dependent in self.dependents(obj):
                self.queue.add(_key(kind, key_of(dependent)))
        for reference in references:
            owner = self._locate(reference, namespace_of(obj))
            if owner is not None:
                kind, owner_key = owner
                found = self.caches[(kind.group, kind.plural)].get(owner_key)
                if found is not None and deleting(found):
                    self.queue.add(_key(kind, owner_key))

    def dependents(self, owner: Object) -> list[tuple[Resource, Object]]:
        """Every object with an owner reference to ``owner``."""
        return [
            (cache.resource, obj) for cache in self.caches.values() for obj in cache.owned_by(owner)
        ]

    def _locate(self, reference: Object, namespace: str) -> tuple[Resource, str] | None:
        resource = self.by_kind.get((str(reference.get("apiVersion")), str(reference.get("kind"))))
        if resource is None or (resource.group, resource.plural) not in self.caches:
            return None
        space = f"{namespace}/" if resource.namespaced and namespace else ""
        return resource, f"{space}{reference.get('name')}"

    async def sync(self, key: str) -> Result:
        """Judge one object by its owners, and finish its own deletion if it waits."""
        kind, _, object_key = key.partition("|")
        group, _, plural = kind.rpartition("/")
        cache = self.caches.get((group, plural))
        obj = cache.get(object_key) if cache else None
        if cache is None or obj is None:
            return DONE
        if deleting(obj):
            await self._finish_deletion(cache.resource, obj)
            return DONE
        references = obj["metadata"].get("ownerReferences") or []
        states = {}
        for reference in references:
            states[str(reference.get("uid"))] = await self._state(reference, namespace_of(obj))
        judgement = engine.judge(
            obj,
            lambda reference: states[str(reference.get("uid"))],
            has_dependents=bool(self.dependents(obj)),
        )
        await self._carry_out(cache.resource, obj, judgement)
        return DONE

    async def _carry_out(
        self, resource: Resource, obj: Object, judgement: engine.Judgement
    ) -> None:
        where = namespace_of(obj), name_of(obj)
        match judgement.verdict:
            case Verdict.DELETE_BACKGROUND:
                action = Delete(resource, *where, uid_of(obj), "Background")
                await self.api.perform(action)
            case Verdict.DELETE_FOREGROUND:
                action = Delete(resource, *where, uid_of(obj), "Foreground")
                await self.api.perform(action)
            case Verdict.DROP_REFERENCES:
                await self._set_references(resource, obj, list(judgement.remaining))

    async def _set_references(
        self, resource: Resource, obj: Object, references: list[Object]
    ) -> None:
        metadata = {
            "uid": uid_of(obj),
            "resourceVersion": obj["metadata"]["resourceVersion"],
            "ownerReferences": references,
        }
        where = namespace_of(obj), name_of(obj)
        await self.api.perform(Patch(resource, *where, {"metadata": metadata}))

    async def _finish_deletion(self, resource: Resource, obj: Object) -> None:
        if engine.orphans(obj):
            for kind, dependent in self.dependents(obj):
                left = engine.without_owner(dependent, uid_of(obj))
                await self._set_references(kind, dependent, left)
            await self._drop_finalizer(resource, obj, engine.ORPHAN)
        elif engine.FOREGROUND in finalizers_of(obj):
            dependents = self.dependents(obj)
            if engine.releases(obj, [dependent for _, dependent in dependents]):
                await self._drop_finalizer(resource, obj, engine.FOREGROUND)
            else:
                self.queue.add_all(_key(kind, key_of(one)) for kind, one in dependents)

    async def _drop_finalizer(self, resource: Resource, obj: Object, finalizer: str) -> None:
        metadata = {
            "uid": uid_of(obj),
            "resourceVersion": obj["metadata"]["resourceVersion"],
            "finalizers": engine.without_finalizer(obj, finalizer),
        }
        where = namespace_of(obj), name_of(obj)
        await self.api.perform(Patch(resource, *where, {"metadata": metadata}))

    async def _state(self, reference: Object, namespace: str) -> Owner:
        """What the cache says of an owner; that one is gone, only the server may say."""
        located = self._locate(reference, namespace)
        if located is None:
            return Owner.UNKNOWN
        resource, key = located
        uid = reference.get("uid")
        owner = self.caches[(resource.group, resource.plural)].get(key)
        if owner is None or uid_of(owner) != uid:
            space, name = split_key(key)
            try:
                owner = await self.api.get(resource, space, name)
            except NotFoundError:
                return Owner.GONE
            if uid_of(owner) != uid:
                return Owner.GONE
        waits = deleting(owner) and engine.FOREGROUND in finalizers_of(owner)
        return Owner.WAITING if waits else Owner.PRESENT


class _Changed:
    """A cache's handler that knows its kind."""

    def __init__(self, collector: GarbageCollector, resource: Resource) -> None:
        self._collector = collector
        self._resource = resource

    def __call__(self, old: Object | None, new: Object | None) -> None:
        self._collector.changed(self._resource, old, new)


def _key(resource: Resource, object_key: str) -> str:
    return f"{resource.group}/{resource.plural}|{object_key}"
