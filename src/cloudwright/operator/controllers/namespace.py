"""A namespace that is being deleted: its contents go first, then its finalizer."""

from __future__ import annotations

from cloudwright.model import conditions
from cloudwright.model.objects import Object, deleting, finalizers_of, name_of, uid_of
from cloudwright.model.resources import NAMESPACE, Resource
from cloudwright.operator.engines.actions import Delete
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result

FINALIZER = "kubernetes"
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_FIRST_LOOK = 0.2
_LONGEST_LOOK = 5.0


class NamespaceController(Controller):
    """Keys are namespaces."""

    name = "namespace-controller"
    concurrency = 2

    def setup(self) -> None:
        """Namespaces only: their contents are listed while they go."""
        self.namespaces = self.watch(NAMESPACE)
        self.waits: dict[str, float] = {}

    async def sync(self, key: str) -> Result:
        """Delete what is left, and finalize once nothing is."""
        namespace = self.namespaces.get(key)
        finalizers = list(((namespace or {}).get("spec") or {}).get("finalizers") or [])
        if namespace is None or not deleting(namespace) or FINALIZER not in finalizers:
            self.waits.pop(key, None)
            return DONE
        left = await self._delete_contents(key)
        if left:
            status = _remaining(namespace, left, self)
            await self.api.write_status(NAMESPACE, namespace, status)
            wait = self.waits[key] = min(self.waits.get(key, _FIRST_LOOK / 2) * 2, _LONGEST_LOOK)
            return Result(wait)
        self.waits.pop(key, None)
        changed = copy(namespace)
        changed["spec"]["finalizers"] = [entry for entry in finalizers if entry != FINALIZER]
        await self.api.finalize_namespace(changed)
        return DONE

    async def _delete_contents(self, namespace: str) -> dict[str, tuple[int, list[str]]]:
        """What is still there by resource: how many, and which finalizers hold them."""
        left: dict[str, tuple[int, list[str]]] = {}
        for resource in await self.api.discover():
            if not resource.namespaced:
                continue
            objects = await self.api.find(resource, namespace)
            for obj in objects:
                if not deleting(obj):
                    await self._delete(resource, namespace, obj)
            if objects and (resource.group, resource.plural) not in _IGNORED:
                objects = await self.api.find(resource, namespace)
            if objects:
                holders = sorted({entry for obj in objects for entry in finalizers_of(obj)})
                left[_label(resource)] = (len(objects), holders)
        return {k: v for k, v in left.items() if not k.startswith("events")}

    async def _delete(self, resource: Resource, namespace: str, obj: Object) -> None:
        action = Delete(resource, namespace, name_of(obj), uid_of(obj), "Background")
        await self.api.perform(action)


def _label(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _remaining(
    namespace: Object, left: dict[str, tuple[int, list[str]]], controller: Controller
) -> Object:
    status = copy(namespace.get("status") or {})
    counts = ", ".join(f"{name} has {count} left" for name, (count, _) in sorted(left.items()))
    holders = sorted({entry for _, names in left.values() for entry in names})
    now = controller.now()
    entries = conditions.set_condition(
        status.get("conditions"),
        "NamespaceContentRemaining",
        "True",
        "SomeResourcesRemain",
        f"Some resources are remaining: {counts}",
        now,
    )
    if holders:
        text = f"Some content has finalizers remaining: {', '.join(holders)}"
        entries = conditions.set_condition(
            entries, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", text, now
        )
    status["conditions"] = entries
    status["phase"] = "Terminating"
    return status
