"""StorageObjectInUseProtection and PersistentVolumeClaimResize."""

from __future__ import annotations

from collections.abc import Sequence

from cloudwright.apiserver.admission.plugins.plugin import CLAIMS, Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.quantities import parse

_FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection(Plugin):
    """New claims and volumes get the finalizer that a controller removes once nobody uses them."""

    about = frozenset({("", "persistentvolumeclaims"), ("", "persistentvolumes")})
    on = frozenset({"CREATE"})

    async def mutate(self, review: Review) -> None:
        """Add the finalizer."""
        metadata = written(review)["metadata"]
        finalizer = _FINALIZERS[review.resource.plural]
        found = metadata.get("finalizers") or []
        if finalizer not in found:
            metadata["finalizers"] = [*found, finalizer]


class PersistentVolumeClaimResize(Plugin):
    """A bound claim may only grow when its class allows it."""

    about = CLAIMS
    on = frozenset({"UPDATE"})

    def __init__(self, store: Store) -> None:
        self._classes: Shelf[Object] = Shelf(
            store, "/storage.k8s.io/storageclasses/", lambda found: found
        )

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Refuse growth that the class does not allow."""
        new, old = written(review), review.old or {}
        wanted, before = _size(new), _size(old)
        if wanted is None or before is None or parse(wanted) <= parse(before):
            return ()
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refused(review, "Only bound persistent volume claims can be expanded")
        name = (new.get("spec") or {}).get("storageClassName")
        for found in (await self._classes.fresh()).values():
            if found["metadata"]["name"] == name and found.get("allowVolumeExpansion"):
                return ()
        raise refused(
            review,
            "only dynamically provisioned pvc can be resized and the storageclass that "
            "provisions the pvc must support resize",
        )


def _size(claim: Object) -> str | None:
    resources = (claim.get("spec") or {}).get("resources") or {}
    size = (resources.get("requests") or {}).get("storage")
    return None if size is None else str(size)
