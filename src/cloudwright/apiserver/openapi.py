"""What OpenAPI v2 and v3 documents have in common: definitions and paths of the served kinds.

Everything is made from the registry and ``model.schemas``; nothing is kept here.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from cloudwright import __version__
from cloudwright.apiserver.registry import Served
from cloudwright.model import schemas
from cloudwright.model.resources import Resource

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
GVK = "x-kubernetes-group-version-kind"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_COMMON = {
    "dryRun": "When present, indicates that modifications should not be persisted (All).",
    "fieldManager": "A name for the actor that makes the changes.",
    "fieldValidation": "How unknown or duplicate fields are met: Ignore, Warn or Strict.",
}


def patches(served: Served) -> tuple[str, ...]:
    """The patch types to offer; clients choose a strategic merge only where it has merge keys."""
    strategic = (_STRATEGIC,) if served.patch_keys else ()
    return (*_PATCHES, *strategic, _APPLY)


def definition_of(served: Served) -> str:
    """The name of a served kind's definition; for custom kinds as kube-apiserver makes it."""
    resource = served.resource
    known = None if served.custom else schemas.definition_name(resource)
    if known is not None:
        return known
    parts = [*reversed(resource.group.split(".")), resource.version, resource.kind]
    return ".".join(parts)


def is_made(served: Served) -> bool:
    """Whether the definition of a kind comes with what serves it, not with our schemas."""
    return served.custom or (
        served.schema is not None and schemas.definition_name(served.resource) is None
    )


def list_name(served: Served) -> str:
    """The name of the definition of a kind's list."""
    return f"{definition_of(served)}List"


def gvk(resource: Resource) -> dict[str, str]:
    """The value of ``x-kubernetes-group-version-kind`` on an operation."""
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def custom_definition(served: Served, reference: str) -> dict[str, Any]:
    """A custom kind's schema with the fields that every object has."""
    schema = copy.deepcopy(served.schema or {"type": "object", PRESERVE: True})
    properties = schema.setdefault("properties", {})
    properties["apiVersion"] = {"type": "string", "description": _API_VERSION}
    properties["kind"] = {"type": "string", "description": _KIND}
    properties["metadata"] = {
        "$ref": f"{reference}{META}ObjectMeta",
        "description": "Standard object's metadata.",
    }
    schema[GVK] = [gvk(served.resource)]
    return schema


PRESERVE = "x-kubernetes-preserve-unknown-fields"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values."
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may "
    "infer this from the endpoint the client submits requests to. Cannot be updated."
)


def list_definition(served: Served, reference: str) -> dict[str, Any]:
    """The schema of a kind's list."""
    resource = served.resource
    item = {"$ref": f"{reference}{definition_of(served)}"}
    return {
        "description": f"{served.list_kind} is a list of {resource.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"$ref": f"{reference}{META}ListMeta", "description": "List metadata."},
            "items": {"type": "array", "items": item, "description": "The objects."},
        },
        GVK: [{"group": resource.group, "kind": served.list_kind, "version": resource.version}],
    }


def reached(names: Iterable[str]) -> list[str]:
    """``names`` and every built-in definition that they refer to, sorted."""
    known = schemas.definitions()
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            waiting.extend(_references(known[name]))
    return sorted(found)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(schemas.PREFIX)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def operations(served: Served) -> Iterator[tuple[str, str, str, list[str]]]:
    """``(path, method, action, query parameters)`` of every operation of a kind."""
    resource = served.resource
    needed = {"post": "create", "put": "update", "patch": "patch", "delete": "delete"}
    for path, method, action, queries in _every(served):
        verb = action if action in ("list", "deletecollection") else needed.get(method, "get")
        if verb in resource.verbs:
            yield path, method, action, queries


def _every(served: Served) -> Iterator[tuple[str, str, str, list[str]]]:
    resource = served.resource
    base = f"{resource.root}/{resource.plural}"
    if resource.namespaced:
        yield base, "get", "list", []
        base = f"{resource.root}/namespaces/{{namespace}}/{resource.plural}"
    write = ["dryRun", "fieldManager", "fieldValidation"]
    yield base, "get", "list", []
    yield base, "post", "post", write
    yield base, "delete", "deletecollection", ["dryRun"]
    one = f"{base}/{{name}}"
    yield from _on_object(one, delete=True)
    for name in ("approval", "scale", "status"):
        if name in resource.subresources:
            yield from _on_object(f"{one}/{name}", delete=False)


def _on_object(path: str, *, delete: bool) -> Iterator[tuple[str, str, str, list[str]]]:
    write = ["dryRun", "fieldManager", "fieldValidation"]
    yield path, "get", "get", []
    yield path, "put", "put", write
    yield path, "patch", "patch", write
    if delete:
        yield path, "delete", "delete", ["dryRun"]


def operation_id(resource: Resource, path: str, method: str, action: str) -> str:
    """A name for an operation that is unique in the document."""
    words = {"get": "read", "put": "replace", "post": "create"}
    group = "".join(part.capitalize() for part in (resource.group or "core").split("."))
    scope = "Namespaced" if "{namespace}" in path else ""
    tail = "".join(p.capitalize() for p in path.split("{name}/")[1:])
    every = "ForAllNamespaces" if resource.namespaced and not scope else ""
    verb = words.get(method, method) if action not in ("list", "deletecollection") else action
    return f"{verb}{group}{resource.version.capitalize()}{scope}{resource.kind}{tail}{every}"


def parameter_text(name: str) -> str:
    """The description of a query parameter."""
    return _COMMON[name]


def fingerprint(served: Iterable[Served], others: Iterable[Any] = ()) -> str:
    """A hash of everything that documents about ``served``, and ``others``, are made from."""
    digest = hashlib.sha512(__version__.encode())
    for entry in served:
        digest.update(repr(entry.resource).encode())
        digest.update(orjson.dumps(entry.schema, option=orjson.OPT_SORT_KEYS))
    for content in others:
        digest.update(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()[:64].upper()
