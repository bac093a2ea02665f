"""ResourceQuota → what its namespace uses, counted anew.

Admission adds to ``status.used`` before an object is stored; what deletions, ended pods and failed
writes give back is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright.model import quota, resources
from cloudwright.model.objects import Object, deleting, key_of, namespace_of
from cloudwright.model.resources import RESOURCE_QUOTA, Resource
from cloudwright.operator.manager import DONE, Controller, Result

RESYNC_SECONDS = 300.0
"""Kinds that are counted without being watched here are counted this often."""
_WATCHED: tuple[Resource, ...] = (
    resources.POD,
    resources.SERVICE,
    resources.PERSISTENT_VOLUME_CLAIM,
)


class QuotaController(Controller):
    """Keeps the status of quotas."""

    name = "resourcequota-controller"

    def setup(self) -> None:
        """Quotas, and the kinds that most of them are about."""
        self.quotas = self.watch(RESOURCE_QUOTA)
        self.caches = {
            (resource.group, resource.plural): self.watch(resource, self._of_namespace)
            for resource in _WATCHED
        }

    def _of_namespace(self, obj: Object) -> list[str]:
        return [key_of(one) for one in self.quotas.all(namespace_of(obj))]

    async def sync(self, key: str) -> Result:
        """Count, and write the status if it differs."""
        found = self.quotas.get(key)
        if found is None or deleting(found):
            return DONE
        hard: Mapping[str, Any] = (found.get("spec") or {}).get("hard") or {}
        parts, complete = [], True
        for group, plural in quota.counted(hard):
            objects, watched = await self._objects(group, plural, namespace_of(found))
            complete = complete and watched
            parts += [
                quota.usage(group, plural, obj)
                for obj in objects
                if quota.concerns(found, group, plural, obj)
            ]
        status = {"hard": dict(hard), "used": quota.total(parts, hard)}
        await self.api.write_status(RESOURCE_QUOTA, found, status)
        return DONE if complete else Result(RESYNC_SECONDS)

    async def _objects(self, group: str, plural: str, namespace: str) -> tuple[list[Object], bool]:
        """The objects of a kind, and whether changes of it wake this controller up."""
        cache = self.caches.get((group, plural))
        if cache is not None:
            return cache.all(namespace), True
        for resource in await self.api.discover():
            if (resource.group, resource.plural) == (group, plural):
                return await self.api.find(resource, namespace), False
        return [], False
