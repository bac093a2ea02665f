"""Service → EndpointSlices and Endpoints, from the pods that its selector finds."""

from __future__ import annotations

from cloudwright.model.objects import (
    Object,
    annotations_of,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from cloudwright.model.resources import ENDPOINT_SLICE, ENDPOINTS, POD, SERVICE, Resource
from cloudwright.model.selectors import from_labels
from cloudwright.operator.engines import endpoints as engine
from cloudwright.operator.engines.actions import Create, Delete, Update
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result

_MANAGED_ENDPOINTS = "endpoints.kubernetes.io/managed-by"


class EndpointsController(Controller):
    """Keeps both forms of a Service's addresses."""

    name = "endpoint-controller"

    def setup(self) -> None:
        """Services, pods, and both kinds of addresses (somebody may damage them)."""
        self.services = self.watch(SERVICE)
        self.pods = self.watch(POD, self._of_pod)
        self.slices = self.watch(ENDPOINT_SLICE, _of_slice)
        self.endpoints = self.watch(ENDPOINTS)

    def _of_pod(self, pod: Object) -> list[str]:
        labels = labels_of(pod)
        return [
            key_of(service)
            for service in self.services.all(namespace_of(pod))
            if from_labels(service["spec"].get("selector") or {}).matches(labels)
        ]

    async def sync(self, key: str) -> Result:
        """Bring slices and Endpoints to what the pods say now."""
        service = self.services.get(key)
        if service is None:
            # Slices go with their owner; Endpoints have none.
            await self._drop_endpoints(key)
            return DONE
        selector = service["spec"].get("selector") or {}
        if not selector or service["spec"].get("type") == "ExternalName":
            return DONE
        matcher = from_labels(selector)
        pods = [p for p in self.pods.all(namespace_of(service)) if matcher.matches(labels_of(p))]
        if not service["metadata"].get("deletionTimestamp"):
            await self._sync_slices(service, pods)
            await self._sync_endpoints(service, pods)
        return DONE

    async def _sync_slices(self, service: Object, pods: list[Object]) -> None:
        wanted = {name_of(s): s for s in engine.slices(service, pods)}
        existing = {
            name_of(s): s
            for s in self.slices.all(namespace_of(service))
            if labels_of(s).get(engine.SERVICE_NAME) == name_of(service)
            and labels_of(s).get(engine.MANAGED_BY) == engine.MANAGER
        }
        for name, wish in wanted.items():
            await self._put(ENDPOINT_SLICE, wish, existing.get(name), ("endpoints", "ports"))
        for name, obj in existing.items():
            if name not in wanted:
                where = namespace_of(obj), name
                await self.api.perform(Delete(ENDPOINT_SLICE, *where, uid_of(obj)))

    async def _sync_endpoints(self, service: Object, pods: list[Object]) -> None:
        wish = engine.endpoints(service, pods)
        await self._put(ENDPOINTS, wish, self.endpoints.get(key_of(service)), ("subsets",))

    async def _put(
        self, resource: Resource, wish: Object, actual: Object | None, parts: tuple[str, ...]
    ) -> None:
        if actual is None:
            await self.api.perform(Create(resource, wish))
            return
        same = all((actual.get(p) or []) == (wish.get(p) or []) for p in parts)
        labels = wish["metadata"]["labels"]
        if same and labels.items() <= labels_of(actual).items():
            return
        changed = copy(actual)
        changed["metadata"]["labels"] = {**labels_of(actual), **labels}
        changed["metadata"]["annotations"] = annotations_of(actual)
        for part in parts:
            changed[part] = wish.get(part) or []
        await self.api.perform(Update(resource, changed))

    async def _drop_endpoints(self, key: str) -> None:
        obj = self.endpoints.get(key)
        if obj is not None and _MANAGED_ENDPOINTS in labels_of(obj):
            await self.api.perform(Delete(ENDPOINTS, *split_key(key), uid_of(obj)))


def _of_slice(obj: Object) -> list[str]:
    service = labels_of(obj).get(engine.SERVICE_NAME)
    return [f"{namespace_of(obj)}/{service}"] if service else []
