"""DefaultStorageClass, DefaultIngressClass and RuntimeClass: what a class means for an object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudwright.apiserver.admission.plugins.plugin import (
    CLAIMS,
    PODS,
    Plugin,
    refused,
    written,
)
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.objects import Object


def _itself(found: Object) -> Object:
    return found


class DefaultStorageClass(Plugin):
    """A claim that names no class gets the default one."""

    about = CLAIMS
    on = frozenset({"CREATE"})
    annotation = "storageclass.kubernetes.io/is-default-class"

    def __init__(self, store: Store) -> None:
        self._classes = Shelf(store, "/storage.k8s.io/storageclasses/", _itself)

    async def mutate(self, review: Review) -> None:
        """Set ``spec.storageClassName``."""
        claim = written(review)
        annotations = claim["metadata"].get("annotations") or {}
        spec = claim.get("spec")
        if not isinstance(spec, dict) or spec.get("storageClassName") is not None:
            return
        if "volume.beta.kubernetes.io/storage-class" in annotations:
            return
        found = _default((await self._classes.fresh()).values(), self.annotation)
        if found is not None:
            spec["storageClassName"] = found["metadata"]["name"]


class DefaultIngressClass(Plugin):
    """An Ingress that names no class gets the default one; two defaults are an error."""

    about = frozenset({("networking.k8s.io", "ingresses")})
    on = frozenset({"CREATE"})
    annotation = "ingressclass.kubernetes.io/is-default-class"

    def __init__(self, store: Store) -> None:
        self._classes = Shelf(store, "/networking.k8s.io/ingressclasses/", _itself)

    async def mutate(self, review: Review) -> None:
        """Set ``spec.ingressClassName``."""
        ingress = written(review)
        spec = ingress.get("spec")
        annotations = ingress["metadata"].get("annotations") or {}
        if not isinstance(spec, dict) or spec.get("ingressClassName") is not None:
            return
        if "kubernetes.io/ingress.class" in annotations:
            return
        classes = (await self._classes.fresh()).values()
        found = _default(classes, self.annotation)
        if found is not None:
            spec["ingressClassName"] = found["metadata"]["name"]


class RuntimeClass(Plugin):
    """A pod of a RuntimeClass gets its overhead, node selector and tolerations."""

    about = PODS
    on = frozenset({"CREATE"})

    def __init__(self, store: Store) -> None:
        self._classes = Shelf(store, "/node.k8s.io/runtimeclasses/", _itself)

    async def mutate(self, review: Review) -> None:
        """Fill in what the class says."""
        spec = written(review).get("spec")
        if not isinstance(spec, dict):
            return
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise refused(
                    review,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined",
                )
            return
        classes = (await self._classes.fresh()).values()
        found = next((one for one in classes if one["metadata"]["name"] == name), None)
        if found is None:
            raise refused(review, f'pod rejected: RuntimeClass "{name}" not found')
        self._overhead(review, spec, found)
        self._scheduling(review, spec, found.get("scheduling") or {})

    @staticmethod
    def _overhead(review: Review, spec: dict[str, Any], found: Object) -> None:
        overhead = (found.get("overhead") or {}).get("podFixed")
        if not overhead:
            return
        if spec.get("overhead") and spec["overhead"] != overhead:
            raise refused(
                review,
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            )
        spec["overhead"] = dict(overhead)

    @staticmethod
    def _scheduling(review: Review, spec: dict[str, Any], scheduling: dict[str, Any]) -> None:
        wanted = scheduling.get("nodeSelector") or {}
        selector = spec.get("nodeSelector") or {}
        for key, value in wanted.items():
            if selector.get(key, value) != value:
                raise refused(
                    review,
                    f"pod rejected: conflict: runtimeClass.scheduling.nodeSelector[{key}] = "
                    f"{value}; pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
        if wanted:
            spec["nodeSelector"] = {**selector, **wanted}
        tolerations = spec.get("tolerations") or []
        added = [one for one in scheduling.get("tolerations") or () if one not in tolerations]
        if added:
            spec["tolerations"] = [*tolerations, *added]


def _default(classes: Iterable[Object], annotation: str) -> Object | None:
    """The default class: the newest of several, then by name (as upstream picks)."""
    marked = [
        one
        for one in classes
        if (one["metadata"].get("annotations") or {}).get(annotation) == "true"
    ]
    if not marked:
        return None
    newest = max(one["metadata"]["creationTimestamp"] for one in marked)
    return min(
        (one for one in marked if one["metadata"]["creationTimestamp"] == newest),
        key=lambda one: str(one["metadata"]["name"]),
    )
