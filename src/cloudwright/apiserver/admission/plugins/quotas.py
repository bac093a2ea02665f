"""ResourceQuota: a write is refused when it would use more than its namespace may.

What a write uses is added to ``status.used`` of each quota, under a guard, before the object is
stored: two writers cannot both take the last of it. What a failed write or a deletion gives back
is found by the quota controller, which counts anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloudwright.apiserver import encoding
from cloudwright.apiserver.admission.plugins.charges import Charges
from cloudwright.apiserver.admission.plugins.plugin import Plugin, refused, written
from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.shelf import Shelf
from cloudwright.apiserver.store.interface import Store
from cloudwright.model import quota
from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.quota import Usage

_PREFIX = storage_of("", "resourcequotas")
_GROWS = frozenset({("", "pods"), ("", "services"), ("", "persistentvolumeclaims")})
"""Kinds of which a change can use more than before."""


class ResourceQuotas(Plugin):
    """Charges the quotas of the namespace. Must be the last rule that may refuse."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._quotas: Shelf[Object] = Shelf(store, _PREFIX, lambda found: found)
        self._charges = Charges(store, self._used)
        self.idle = self._quotas.is_empty

    def concerns(self, review: Review) -> bool:
        """New objects of a namespace, and changes of the kinds whose size is counted."""
        resource = review.resource
        if not resource.namespaced or review.subresource not in ("", "resize"):
            return False
        if review.operation == "CREATE":
            return True
        return review.operation == "UPDATE" and (resource.group, resource.plural) in _GROWS

    async def validate(self, review: Review) -> Sequence[FieldError]:
        """Charge each quota that the object counts in."""
        quotas = await self._quotas.fresh()
        prefix = f"{_PREFIX}{review.namespace}/"
        keys = sorted(key for key in quotas if key.startswith(prefix))
        if not keys or _about_itself(review):
            return ()
        resource, obj = review.resource, written(review)
        new = quota.usage(resource.group, resource.plural, obj)
        old: Usage = {}
        if review.old is not None:
            old = quota.usage(resource.group, resource.plural, review.old)
        for key in keys:
            if quota.concerns(quotas[key], resource.group, resource.plural, obj):
                delta = {name: value - old.get(name, 0) for name, value in new.items()}
                self._stated(review, quotas[key], obj)
                await self._charges.charge(review, key, delta)
        return ()

    @staticmethod
    def _stated(review: Review, found: Object, obj: Object) -> None:
        if review.operation != "CREATE" or review.resource.plural != "pods":
            return
        missing = quota.missing(found, obj)
        if missing:
            parts = [f"{name} for: {','.join(missing[name])}" for name in sorted(missing)]
            name = found["metadata"]["name"]
            raise refused(review, f"failed quota: {name}: must specify {'; '.join(parts)}")

    async def _used(
        self, found: Object, hard: Mapping[str, Any], namespace: str
    ) -> Mapping[str, str]:
        """What is used: as the status says, or counted when it does not know all limits yet."""
        status = found.get("status") or {}
        used: Mapping[str, str] = status.get("used") or {}
        if set(hard) <= set(used):
            return used
        parts = []
        for group, plural in quota.counted(hard):
            page = await self._store.page(f"{storage_of(group, plural)}{namespace}/")
            for record in page.records:
                obj = encoding.decode(record.value)
                if quota.concerns(found, group, plural, obj):
                    parts.append(quota.usage(group, plural, obj))
        return quota.total(parts, hard)


def _about_itself(review: Review) -> bool:
    return review.operation == "UPDATE" and review.resource.plural == "resourcequotas"
