"""What new objects need beside themselves: their namespace, and the definition of a custom kind.
Both are there, and not on their way out.
"""

from __future__ import annotations

from cloudwright.apiserver import encoding
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, forbidden, no_such_path, not_found
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Compare, Event, Record, Store
from cloudwright.model.objects import Object

STORAGE = storage_of("", "namespaces")
_PREFIX = f"{STORAGE}/"
_DEFINITIONS = f"{storage_of('apiextensions.k8s.io', 'customresourcedefinitions')}/"
_KEPT = (_PREFIX, _DEFINITIONS)
_KNOWN_MAX = 4096
FINALIZER = "kubernetes"
PERMANENT = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted."""


class Places:
    """Where new objects may be made: namespaces, and definitions of custom kinds. What was found
    out in the store is kept until they change. A ``store.interface.Listener``.
    """

    about = _KEPT

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Compare, ...]] = {}
        store.listen(self)

    def event(self, event: Event) -> None:
        """Forget the namespace or definition that was written."""
        if self._known and event.key.startswith(_KEPT):
            self._known.pop(event.key, None)

    def lost(self) -> None:
        """Events were missed."""
        self._known.clear()

    async def compare(self, call: Call, *, again: bool = False) -> tuple[Compare, ...]:
        """What must still hold at the commit of a new object: its namespace, and the definition
        of its kind, as they are now. So nothing is left behind in one that goes meanwhile.

        ``again``: what was told before did not hold.

        Raises:
            ApiError: 404, there is no such namespace or kind; 403 (405 for a kind), it is being
                terminated.
        """
        found: tuple[Compare, ...] = ()
        if call.namespace:
            key = _PREFIX + call.namespace
            known = self._known.get(key)
            found = await self._namespace(call, key) if known is None or again else known
        if call.served.custom:
            key = f"{_DEFINITIONS}{call.plural}.{call.group}"
            known = self._known.get(key)
            found += await self._definition(call, key) if known is None or again else known
        return found

    async def _namespace(self, call: Call, key: str) -> tuple[Compare, ...]:
        record = await self._store.get(key)
        if record is None:
            raise not_found("", "namespaces", call.namespace)
        if terminating(encoding.decode(record.value)):
            raise _terminating(call)
        return self._keep(record)

    async def _definition(self, call: Call, key: str) -> tuple[Compare, ...]:
        record = await self._store.get(key)
        if record is None:
            raise no_such_path()
        if terminating(encoding.decode(record.value)):
            raise ending(call)
        return self._keep(record)

    def _keep(self, record: Record) -> tuple[Compare, ...]:
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        found = self._known[record.key] = (Compare(record.key, record.revision),)
        return found


def ending(call: Call) -> ApiError:
    """405: the definition of a custom kind is being deleted."""
    message = "create not allowed while custom resource definition is terminating"
    details = {"group": call.group, "kind": call.plural}
    return ApiError(405, "MethodNotAllowed", message, details=details)


def terminating(obj: Object) -> bool:
    """Whether the namespace or definition is being deleted."""
    return bool(obj["metadata"].get("deletionTimestamp"))


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
