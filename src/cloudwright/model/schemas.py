"""The schemas of every built-in kind, and what is derived from them.

``schema/kubernetes.json.gz`` (structure) and ``schema/descriptions.json.gz`` (prose) are written by
``scripts/generate_schemas.py``; ``schema/microservice.json`` and ``schema/route.json`` are ours. A
schema is an OpenAPI v2 definition; ``$ref`` s point to ``#/definitions/NAME`` and are followed by
``resolve``. Definitions are loaded when they are first met (``bundle``); the prose only when
``descriptions`` is called, and it is not kept.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from cloudwright.model import bundle, structural
from cloudwright.model.fields import FieldError
from cloudwright.model.resources import Resource
from cloudwright.model.structural import Schema

PREFIX = "#/definitions/"
_CORE = "io.k8s.api."
_ELSEWHERE = {
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.",
}


@dataclass(frozen=True, slots=True)
class Description:
    """What ``explain`` shows of a field: its text, its type's name and what it consists of."""

    path: str
    type: str
    text: str
    required: bool
    fields: tuple[tuple[str, str, bool, str], ...] = ()
    """``(name, type, required, text)`` of every field in it, sorted."""


def definitions() -> Mapping[str, dict[str, Any]]:
    """Every definition by name, Kubernetes' without descriptions. Do not change what you get."""
    return bundle.Definitions()


def descriptions() -> dict[str, str]:
    """Kubernetes' prose: ``DEFINITION`` and ``DEFINITION#field`` → text. Read anew at each call."""
    return cast("dict[str, str]", json.loads(gzip.decompress(bundle.read("descriptions.json.gz"))))


def described(name: str, prose: dict[str, str]) -> dict[str, Any]:
    """A copy of definition ``name`` with its descriptions, which are looked up in ``prose``."""
    return cast("dict[str, Any]", _described(bundle.LOADED[name], name, prose))


def _described(schema: Any, key: str, prose: dict[str, str]) -> Any:
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    if key in prose:
        out["description"] = prose[key]
    if "properties" in schema:
        fields = schema["properties"].items()
        out["properties"] = {f: _described(v, f"{key}#{f}", prose) for f, v in fields}
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            out[inner] = _described(schema[inner], f"{key}@", prose)
    return out


@lru_cache(maxsize=256)
def definition_name(resource: Resource) -> str | None:
    """The definition of a kind, such as ``io.k8s.api.apps.v1.Deployment``."""
    wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    for name, schema in bundle.ours().items():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return name
    group = resource.group.partition(".")[0] or "core"
    tail = f"{group}.{resource.version}.{resource.kind}"
    name = _ELSEWHERE.get(resource.group, _CORE) + tail
    found = bundle.LOADED[name] if name in bundle.Definitions() else {}
    return name if wanted in found.get("x-kubernetes-group-version-kind", ()) else None


def resolve(schema: Schema) -> Schema:
    """The definition that ``schema`` points at, or ``schema`` itself.

    A ``default`` beside the reference belongs to the field and is not carried over.
    """
    target = schema.get("$ref")
    if not isinstance(target, str):
        return schema
    return bundle.LOADED[target.removeprefix(PREFIX)]


def schema_for(resource: Resource) -> dict[str, Any] | None:
    """The schema of a built-in kind; ``None`` for a kind that only a CRD knows."""
    name = definition_name(resource)
    return bundle.LOADED[name] if name else None


def _native(schema: Schema) -> bool:
    return "x-kubernetes-group-version-kind" in schema


def validate(schema: Schema, obj: Any, *, unknown: bool = True) -> list[FieldError]:
    """What is wrong with ``obj``, unknown fields included unless ``unknown`` is false.

    Nulls in built-in kinds count as "not set"; in CRDs' kinds they need ``nullable``.
    """
    checker = structural.Checker(resolve, nulls=_native(schema))
    errors = list(checker.check(schema, obj, ""))
    if unknown:
        errors.extend(structural.unknown_fields(schema, obj, resolve))
    return errors


def unknown_fields(schema: Schema, obj: Any) -> list[FieldError]:
    """Only the unknown fields (``fieldValidation=Warn``)."""
    return list(structural.unknown_fields(schema, obj, resolve))


def prune(schema: Schema, obj: Any) -> Any:
    """``obj`` without unknown fields; ``obj`` itself when it has none, else a copy."""
    return structural.prune(schema, obj, resolve)


def apply_defaults(schema: Schema, obj: Any) -> Any:
    """Fill the schema's defaults into ``obj`` (in place) and return it."""
    return structural.apply_defaults(schema, obj, resolve)


def _steps(path: str | Sequence[str | int]) -> list[str]:
    parts = path.split(".") if isinstance(path, str) else path
    return [str(p) for p in parts if not isinstance(p, int) and p not in ("", "*")]


def field_schema(schema: Schema, path: str | Sequence[str | int]) -> Schema | None:
    """The schema of the field at ``path`` (list indexes are skipped), its siblings of ``$ref``
    (patch strategy and so on) included; ``None`` where there is no such field.
    """
    at: Schema = schema
    for step in _steps(path):
        inner = resolve(at)
        while isinstance(inner.get("items"), dict):
            inner = resolve(inner["items"])
        properties = inner.get("properties") or {}
        if step in properties:
            at = properties[step]
        elif isinstance(inner.get("additionalProperties"), dict):
            at = inner["additionalProperties"]
        else:
            return None
    return at


def merge_key(resource: Resource, path: str | Sequence[str | int]) -> tuple[str, str] | None:
    """``(patch strategy, merge key)`` of the list or map at ``path`` for a strategic merge patch.

    The strategy is ``merge``, ``retainKeys``, ``merge,retainKeys`` or ``replace``; the key is empty
    for lists of scalars and for maps. ``None``: the field is unknown or says nothing (lists are
    replaced, maps merged).
    """
    schema = schema_for(resource)
    field = field_schema(schema, path) if schema else None
    strategy = field.get("x-kubernetes-patch-strategy") if field else None
    if field is None or strategy is None:
        return None
    return str(strategy), str(field.get("x-kubernetes-patch-merge-key", ""))


def type_name(schema: Schema) -> str:
    """A field's type as ``kubectl explain`` writes it: ``<[]Container>``, ``<string>``."""
    target = schema.get("$ref")
    if isinstance(target, str):
        inner = resolve(schema)
        if inner.get("properties") or inner.get("type") in (None, "object"):
            return target.rpartition(".")[2]
        return str(inner.get("format") or inner["type"]).replace("int-or-string", "IntOrString")
    if schema.get("type") == "array":
        return f"[]{type_name(schema.get('items') or {})}"
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return f"map[string]{type_name(more)}"
    return "Object" if schema.get("type") == "object" else str(schema.get("type", "any"))


def describe(resource: Resource, field_path: str = "") -> Description | None:
    """What ``explain`` shows for ``field_path`` (``spec.template.spec``); ``None``: no such field.

    Reads the prose from disk at each call.
    """
    name = definition_name(resource)
    if name is None:
        return None
    prose = descriptions()
    at: Schema = {"$ref": PREFIX + name}
    owner, text, needed = name, "", False
    for step in _steps(field_path):
        owner, holder = _object_of(owner, at)
        properties = holder.get("properties") or {}
        if step not in properties:
            return None
        at = properties[step]
        text = str(at.get("description") or prose.get(f"{owner}#{step}", ""))
        needed = step in holder.get("required", ())
    inner_name, inner = _object_of(owner, at)
    own = str(inner.get("description") or prose.get(inner_name, ""))
    if inner_name != owner or not field_path:
        text = f"{text}\n\n{own}".strip() if own not in text else text
    rows = tuple(
        (
            field,
            type_name(value),
            field in inner.get("required", ()),
            str(value.get("description") or prose.get(f"{inner_name}#{field}", "")),
        )
        for field, value in sorted((inner.get("properties") or {}).items())
    )
    return Description(field_path, type_name(at), text, needed, rows)


def _object_of(owner: str, schema: Schema) -> tuple[str, Schema]:
    """The definition's name and schema of the object in ``schema``, through lists and maps."""
    while True:
        target = schema.get("$ref")
        if isinstance(target, str):
            owner, schema = target.removeprefix(PREFIX), resolve(schema)
        elif isinstance(schema.get("items"), dict):
            schema = schema["items"]
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema["additionalProperties"]
        else:
            return owner, schema
