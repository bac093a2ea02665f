"""Namespaces as the place where other objects live: there, and not on their way out."""

from __future__ import annotations

from cloudwright.apiserver import encoding
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, forbidden, not_found
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Compare, Store
from cloudwright.model.objects import Object

STORAGE = storage_of("", "namespaces")
FINALIZER = "kubernetes"
PERMANENT = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that cannot be deleted."""


async def namespace_compare(store: Store, call: Call) -> tuple[Compare, ...]:
    """What must still hold at the commit of a new object: its namespace as it is now.

    Raises:
        ApiError: 404, there is no such namespace; 403, it is being terminated.
    """
    if not call.namespace:
        return ()
    key = f"{STORAGE}/{call.namespace}"
    record = await store.get(key)
    if record is None:
        raise not_found("", "namespaces", call.namespace)
    # Looks into the bytes first: decoding each namespace for each create would cost more than
    # the rest of the check.
    if b'"deletionTimestamp"' in record.value and terminating(encoding.decode(record.value)):
        raise _terminating(call)
    return (Compare(key, record.revision),)


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
