"""Namespaces as the place where other objects live: there, and not on their way out."""

from __future__ import annotations

from cloudwright.apiserver import encoding
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, forbidden, not_found
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Compare, Event, Store
from cloudwright.model.objects import Object

STORAGE = storage_of("", "namespaces")
_PREFIX = f"{STORAGE}/"
_KNOWN_MAX = 4096
FINALIZER = "kubernetes"
PERMANENT = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted."""


class Places:
    """Namespaces that new objects may be made in, by name: what was found out in the store, until
    the namespace changes. A ``store.interface.Listener``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Compare, ...]] = {}
        store.listen(self)

    def event(self, event: Event) -> None:
        """Forget the namespace that was written."""
        if self._known and event.key.startswith(_PREFIX):
            self._known.pop(event.key.removeprefix(_PREFIX), None)

    def lost(self) -> None:
        """Events were missed."""
        self._known.clear()

    async def compare(self, call: Call, *, again: bool = False) -> tuple[Compare, ...]:
        """What must still hold at the commit of a new object: its namespace as it is now.

        ``again``: what was told before did not hold.

        Raises:
            ApiError: 404, there is no such namespace; 403, it is being terminated.
        """
        namespace = call.namespace
        if not namespace:
            return ()
        known = self._known.get(namespace)
        if known is not None and not again:
            return known
        key = _PREFIX + namespace
        record = await self._store.get(key)
        if record is None:
            raise not_found("", "namespaces", namespace)
        if terminating(encoding.decode(record.value)):
            raise _terminating(call)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        found = self._known[namespace] = (Compare(key, record.revision),)
        return found


def terminating(namespace: Object) -> bool:
    """Whether the namespace is being deleted."""
    return bool(namespace["metadata"].get("deletionTimestamp"))


def held(call: Call, obj: Object) -> bool:
    """Whether ``obj`` is a namespace whose content was not cleaned up yet."""
    if call.plural != "namespaces" or call.group:
        return False
    return bool((obj.get("spec") or {}).get("finalizers"))


def begin(obj: Object) -> None:
    """What a new namespace always has."""
    obj["spec"] = {"finalizers": [FINALIZER]}
    obj["status"] = {"phase": "Active"}
    name = obj["metadata"].get("name", "")
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = name
    obj["metadata"].pop("generation", None)


def _terminating(call: Call) -> ApiError:
    error = forbidden(
        call.group,
        call.plural,
        call.name,
        f"unable to create new content in namespace {call.namespace} "
        "because it is being terminated",
    )
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {call.namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error
