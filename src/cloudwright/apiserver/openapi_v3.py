"""``/openapi/v3``: the index with hashes and a document for each group and version, made when
asked for, compressed and kept until the registry changes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright.apiserver import openapi
from cloudwright.apiserver.discovery import version_info
from cloudwright.apiserver.openapi import GVK, META
from cloudwright.apiserver.registry import Registry, Served
from cloudwright.apiserver.replies import JSON
from cloudwright.client.transport import Reply
from cloudwright.model import schemas

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Foreign

_REFERENCE = "#/components/schemas/"
_EITHER = {
    "int-or-string": [{"type": "integer"}, {"type": "string"}],
    "quantity": [{"type": "string"}, {"type": "number"}],
}


class OpenApiV3:
    """Answers ``/openapi/v3`` and below."""

    def __init__(
        self, registry: Registry, foreign: Callable[[], Sequence[Foreign]] = tuple
    ) -> None:
        self._registry = registry
        self._foreign = foreign
        self._generation = -1
        self._hashes: dict[str, str] = {}
        self._others: dict[str, Any] = {}
        self._packed: dict[str, bytes] = {}

    def answer(self, path: str, accept: str) -> Reply | None:
        """The index or a document; ``None``: no such document. 406 when JSON is not accepted."""
        if accept and not any(word in accept for word in (JSON, "*/*", "application/*")):
            return Reply(406, {"content-type": "text/plain"}, b"only application/json\n")
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._packed.clear()
            groups = self._groups()
            self._hashes = {name: openapi.fingerprint(v) for name, v in groups.items()}
            self._others = {
                f"apis/{one.group}/{one.version}": one.found.v3
                for one in self._foreign()
                if one.found.v3
            }
            for name, content in self._others.items():
                self._hashes[name] = openapi.fingerprint((), [content])
        name = path.removeprefix("/openapi/v3").strip("/")
        if not name:
            return Reply(200, {"content-type": JSON}, self._index())
        if name not in self._hashes:
            return None
        packed = self._packed.get(name)
        if packed is None:
            content = self._others.get(name)
            data = orjson.dumps(document(self._groups()[name]) if content is None else content)
            packed = self._packed[name] = gzip.compress(data, 6, mtime=0)
        headers = {
            "content-type": JSON,
            "content-encoding": "gzip",
            "etag": f'"{self._hashes[name]}"',
            "vary": "Accept",
        }
        return Reply(200, headers, packed)

    def _groups(self) -> dict[str, list[Served]]:
        groups: dict[str, list[Served]] = {}
        for entry in self._registry.all():
            groups.setdefault(entry.resource.root.strip("/"), []).append(entry)
        return groups

    def _index(self) -> bytes:
        paths = {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={tag}"}
            for name, tag in self._hashes.items()
        }
        return orjson.dumps({"paths": paths})


def document(served: list[Served]) -> dict[str, Any]:
    """The OpenAPI 3.0 document of one group and version."""
    prose = schemas.descriptions()
    roots = [openapi.definition_of(entry) for entry in served]
    roots += [f"{META}{name}" for name in ("DeleteOptions", "Status", "ListMeta", "ObjectMeta")]
    if any(entry.scale for entry in served):
        roots.append("io.k8s.api.autoscaling.v1.Scale")
    found: dict[str, Any] = {
        name: translated(schemas.described(name, prose)) for name in openapi.reached(roots)
    }
    for entry in served:
        if openapi.is_made(entry):
            schema = openapi.custom_definition(entry, _REFERENCE)
            found[openapi.definition_of(entry)] = translated(schema)
        found[openapi.list_name(entry)] = translated(openapi.list_definition(entry, _REFERENCE))
    paths: dict[str, Any] = {}
    for entry in served:
        _add_paths(paths, entry)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Cloudwright", "version": version_info()["gitVersion"]},
        "paths": paths,
        "components": {"schemas": found},
    }


def translated(schema: Any) -> Any:
    """A v2 schema as v3: references elsewhere, their siblings beside ``allOf``, unions spelt out.

    v3 schemas (of CRDs) come out as they are.
    """
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    target = out.pop("$ref", None)
    if target is not None:
        reference = {"$ref": str(target).replace(schemas.PREFIX, _REFERENCE)}
        if not out:
            return reference
        out["allOf"] = [reference]
    either = _EITHER.get(str(out.get("format")))
    if either is not None:
        del out["type"]
        out["oneOf"] = either
        if out["format"] == "quantity":
            del out["format"]
    if "properties" in out:
        out["properties"] = {name: translated(value) for name, value in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = translated(out[key])
    return out


def _add_paths(paths: dict[str, Any], served: Served) -> None:
    resource = served.resource
    for path, method, action, queries in openapi.operations(served):
        item = paths.setdefault(path, {"parameters": _path_parameters(path)})
        name = openapi.list_name(served) if action == "list" else openapi.definition_of(served)
        if action in ("delete", "deletecollection"):
            name = f"{META}Status"
        elif path.endswith("/scale"):
            name = "io.k8s.api.autoscaling.v1.Scale"
        reference = {"schema": {"$ref": f"{_REFERENCE}{name}"}}
        operation: dict[str, Any] = {
            "operationId": openapi.operation_id(resource, path, method, action),
            "parameters": [
                {
                    "name": query,
                    "in": "query",
                    "description": openapi.parameter_text(query),
                    "schema": {"type": "string", "uniqueItems": True},
                }
                for query in queries
            ],
            "responses": {
                "200": {"description": "OK", "content": {JSON: reference}},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            GVK: openapi.gvk(resource),
        }
        if method == "patch":
            free = {"schema": {"type": "object"}}
            operation["requestBody"] = {"content": {kind: free for kind in openapi.patches(served)}}
        elif method in ("put", "post"):
            operation["requestBody"] = {"content": {"*/*": reference}, "required": True}
        item[method] = operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "uniqueItems": True}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in ("name", "namespace")
        if f"{{{name}}}" in path
    ]
