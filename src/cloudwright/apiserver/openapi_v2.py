"""``/openapi/v2``: the Swagger 2.0 document as JSON and as gnostic protobuf (kubectl 1.20 needs
it), compressed and kept until the registry changes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from cloudwright.apiserver import gnostic, openapi
from cloudwright.apiserver.aggregation import documents
from cloudwright.apiserver.discovery import version_info
from cloudwright.apiserver.openapi import GVK, META
from cloudwright.apiserver.registry import Registry, Served
from cloudwright.apiserver.replies import JSON
from cloudwright.client.transport import Reply
from cloudwright.model import schemas

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.aggregator import Foreign

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_DROPPED = ("oneOf", "anyOf", "not", "allOf", "nullable")
_REFERENCE = schemas.PREFIX


class OpenApiV2:
    """Answers ``/openapi/v2``."""

    def __init__(
        self, registry: Registry, foreign: Callable[[], Sequence[Foreign]] = tuple
    ) -> None:
        self._registry = registry
        self._foreign = foreign
        self._generation = -1
        self._tag = ""
        self._packed: dict[str, bytes] = {}

    def answer(self, accept: str) -> Reply:
        """The document in the form that ``accept`` prefers, gzip-compressed; 406 for none."""
        content_type = _wanted(accept)
        if content_type is None:
            return Reply(406, {"content-type": "text/plain"}, b"only JSON and protobuf\n")
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._packed.clear()
            self._tag = openapi.fingerprint(
                self._registry.all(), [one.found.v2 for one in self._foreign()]
            )
        packed = self._packed.get(content_type)
        if packed is None:
            content = documents.merged_v2(document(self._registry.all()), self._foreign())
            data = gnostic.encode(content) if content_type == PROTOBUF else orjson.dumps(content)
            packed = self._packed[content_type] = gzip.compress(data, 6, mtime=0)
        shown = "application/octet-stream" if content_type == PROTOBUF else JSON
        headers = {
            "content-type": shown,
            "content-encoding": "gzip",
            "etag": f'"{self._tag}"',
            "vary": "Accept",
        }
        return Reply(200, headers, packed)


def _wanted(accept: str) -> str | None:
    clauses = [part.partition(";")[0].strip() for part in accept.split(",")] if accept else ["*/*"]
    for clause in clauses:
        if clause == PROTOBUF:
            return PROTOBUF
        if clause in (JSON, "application/*", "*/*", ""):
            return JSON
    return None


def document(served: list[Served]) -> dict[str, Any]:
    """The Swagger document of everything that is served."""
    info = {"title": "Cloudwright", "version": version_info()["gitVersion"]}
    definitions: dict[str, Any] = {}
    prose = schemas.descriptions()
    for name in openapi.reached(schemas.definitions()):
        definitions[name] = schemas.described(name, prose)
    for entry in served:
        if openapi.is_made(entry):
            name = openapi.definition_of(entry)
            definitions[name] = _plain(openapi.custom_definition(entry, _REFERENCE), root=True)
        definitions[openapi.list_name(entry)] = openapi.list_definition(entry, _REFERENCE)
    paths: dict[str, Any] = {}
    for entry in served:
        _add_paths(paths, entry)
    return {"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions}


def _add_paths(paths: dict[str, Any], served: Served) -> None:
    resource = served.resource
    for path, method, action, queries in openapi.operations(served):
        item = paths.setdefault(path, {"parameters": _path_parameters(path)})
        name = openapi.list_name(served) if action == "list" else openapi.definition_of(served)
        if action in ("delete", "deletecollection"):
            name = f"{META}Status"
        elif path.endswith("/scale"):
            name = "io.k8s.api.autoscaling.v1.Scale"
        answer = {"$ref": f"{_REFERENCE}{name}"}
        parameters: list[dict[str, Any]] = [
            {
                "name": query,
                "in": "query",
                "type": "string",
                "uniqueItems": True,
                "description": openapi.parameter_text(query),
            }
            for query in queries
        ]
        if method in ("put", "post", "patch"):
            body = f"{META}Patch" if method == "patch" else name
            schema = {"$ref": f"{_REFERENCE}{body}"} if method != "patch" else {"type": "object"}
            parameters.insert(0, {"name": "body", "in": "body", "required": True, "schema": schema})
        item[method] = {
            "operationId": openapi.operation_id(resource, path, method, action),
            "consumes": list(openapi.patches(served)) if method == "patch" else ["*/*"],
            "produces": ["application/json"],
            "schemes": ["https"],
            "parameters": parameters,
            "responses": {
                "200": {"description": "OK", "schema": answer},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            GVK: openapi.gvk(resource),
        }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True}
        for name in ("name", "namespace")
        if f"{{{name}}}" in path
    ]


def _plain(schema: Any, *, root: bool = False) -> Any:
    """A v3 schema in what Swagger 2.0 can say; what it cannot becomes "anything"."""
    if not isinstance(schema, dict):
        return schema
    out = {key: value for key, value in schema.items() if key not in _DROPPED}
    free = schema.get("x-kubernetes-int-or-string") or schema.get("nullable")
    if free or (schema.get(openapi.PRESERVE) and not root):
        for key in ("type", "items", "properties", "format", "additionalProperties"):
            out.pop(key, None)
    if "properties" in out:
        out["properties"] = {name: _plain(value) for name, value in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _plain(out[key])
    return out
