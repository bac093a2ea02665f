"""Endpoints that people write, for Services without a selector → EndpointSlices."""

from __future__ import annotations

from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.resources import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from cloudwright.operator.engines import mirroring as engine
from cloudwright.operator.engines.actions import Action, Create, Delete, Update
from cloudwright.operator.engines.endpoints import MANAGED_BY, SERVICE_NAME
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result


class MirroringController(Controller):
    """Keys are Endpoints, which are called as their Services."""

    name = "endpointslice-mirroring-controller"

    def setup(self) -> None:
        """Endpoints, Services, and our slices (somebody may damage them)."""
        self.endpoints = self.watch(ENDPOINTS)
        self.services = self.watch(SERVICE)
        self.slices = self.watch(ENDPOINT_SLICE, _of_slice)
        self.slices.index(engine.MANAGER, _of_slice)

    async def sync(self, key: str) -> Result:
        """Bring the slices to what the Endpoints say."""
        endpoints = self.endpoints.get(key)
        wanted: dict[str, Object] = {}
        if (
            endpoints is not None
            and not deleting(endpoints)
            and engine.mirrored(endpoints, self.services.get(key))
        ):
            wanted = {name_of(one): one for one in engine.slices(endpoints)}
        have = {name_of(one): one for one in self.slices.found(engine.MANAGER, key)}
        for name, wish in wanted.items():
            action = _bring(wish, have.get(name))
            if action is not None:
                await self.api.perform(action)
        for name, obj in have.items():
            if name not in wanted:
                where = namespace_of(obj), name
                await self.api.perform(Delete(ENDPOINT_SLICE, *where, uid_of(obj)))
        return DONE


def _bring(wish: Object, actual: Object | None) -> Action | None:
    if actual is None:
        return Create(ENDPOINT_SLICE, wish)
    parts = ("endpoints", "ports")
    same = all((actual.get(part) or []) == (wish.get(part) or []) for part in parts)
    labels, annotations = wish["metadata"]["labels"], wish["metadata"]["annotations"]
    if same and labels == labels_of(actual) and annotations == annotations_of(actual):
        return None
    changed = copy(actual)
    changed["metadata"] |= {"labels": labels, "annotations": annotations}
    for part in parts:
        changed[part] = wish[part]
    return Update(ENDPOINT_SLICE, changed)


def _of_slice(obj: Object) -> list[str]:
    labels = labels_of(obj)
    if labels.get(MANAGED_BY) != engine.MANAGER or SERVICE_NAME not in labels:
        return []
    return [f"{namespace_of(obj)}/{labels[SERVICE_NAME]}"]
