"""The labels of namespaces, for selectors."""

from __future__ import annotations

from collections.abc import Mapping

from cloudwright.apiserver import encoding
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Store
from cloudwright.model.objects import Object


class NamespaceLabels:
    """Reads a namespace, and keeps what it decoded until the namespace changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, Object]] = {}

    async def of(self, namespace: str) -> Mapping[str, str] | None:
        """The labels of ``namespace``; ``None`` when there is no such one."""
        found = await self.object(namespace)
        return None if found is None else found["metadata"].get("labels") or {}

    async def object(self, namespace: str) -> Object | None:
        """The Namespace itself, in storage form. Do not change it."""
        if not namespace:
            return None
        record = await self._store.get(f"{storage_of('', 'namespaces')}/{namespace}")
        if record is None:
            self._known.pop(namespace, None)
            return None
        known = self._known.get(namespace)
        if known is None or known[0] != record.revision:
            known = (record.revision, encoding.decode(record.value))
            self._known[namespace] = known
        return known[1]
