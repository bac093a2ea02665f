"""Who owns which field (``metadata.managedFields``): the policy around the crate ``merge``.

A write keeps the list apart from the object, as JSON bytes, until both are encoded. Everything is
as in kube-apiserver: entries by manager, operation, version and subresource; fields that a
strategy resets are nobody's; what does not fit its schema leaves no owners behind.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import native
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.registry import Registry, Served
from cloudwright.model import bundle, schemas
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

SCALE = "autoscaling/v1"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_STATUS_RESETS: dict[tuple[str, str], list[list[str]]] = {
    ("", "pods"): [["spec"], ["metadata", "deletionTimestamp"], ["metadata", "ownerReferences"]],
    ("apps", "deployments"): [["spec"], ["metadata", "labels"]],
    ("networking.k8s.io", "servicecidrs"): [["spec"], ["metadata"]],
    ("apiextensions.k8s.io", "customresourcedefinitions"): [["spec"], ["metadata"]],
}
"""Fields that ``/status`` resets where that is more than the spec (``GetResetFields``)."""


class Managed(NamedTuple):
    """The new list, encoded. ``same``: with the old times, if it differs in nothing else."""

    fields: bytes | None = None
    same: bytes | None = None


@dataclass(frozen=True, slots=True)
class Types:
    """What one served version's writes need."""

    schema: native.MergeSchema
    main: native.MergeFields
    status: native.MergeFields

    def ignored(self, subresource: str) -> native.MergeFields:
        """What the strategy of a subresource resets."""
        return self.status if subresource == "status" else self.main


Convert = Callable[[bytes, str], bytes]
Others = tuple[list[tuple[str, native.MergeSchema]], Convert | None]


class Ownership:
    """Compiles schemas on first use, and answers for every write."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._types: dict[tuple[str, str, str], tuple[Served, Types]] = {}

    def types(self, served: Served) -> Types:
        """The compiled types of a version."""
        resource = served.resource
        key = (resource.group, resource.version, resource.plural)
        known = self._types.get(key)
        if known is None or known[0] is not served:
            known = self._types[key] = (served, _compile(served))
        return known[1]

    def update(
        self, call: Call, live: bytes | None, new: Object | bytes, manager: str, now: datetime
    ) -> Managed:
        """The owners after a create (``live`` is ``None``), an update or a patch.

        ``new`` (in the form of the call's version, maybe encoded) may have the list that the client
        sent.
        """
        served = call.served
        types = self.types(served)
        others, convert = self._others(served) if live is not None else ([], None)
        fields, same = native.managed_update(
            types.schema,
            live,
            new if isinstance(new, bytes) else orjson.dumps(new),
            served.resource.api_version,
            manager,
            call.subresource,
            rfc3339(now),
            types.ignored(call.subresource),
            others,
            convert,
        )
        return Managed(fields, same)

    def apply(
        self,
        call: Call,
        live: bytes | None,
        patch: Object,
        manager: str,
        now: datetime,
        *,
        force: bool,
    ) -> tuple[Object, Managed]:
        """The object and its owners after a server-side apply.

        Raises:
            MergeConflict, MergePatchError, MergeError: see ``_native``.
        """
        served = call.served
        types = self.types(served)
        others, convert = self._others(served)
        obj, fields, same = native.managed_apply(
            types.schema,
            live,
            orjson.dumps(patch),
            served.resource.api_version,
            manager,
            call.subresource,
            rfc3339(now),
            types.ignored(call.subresource),
            force,
            others,
            convert,
        )
        return orjson.loads(obj), Managed(fields, same)

    def update_scale(self, live: Object, new: Object, manager: str, now: datetime) -> bytes | None:
        """The owners of a Scale that was ``live``; both as ``autoscaling/v1``."""
        types = _scale_types()
        fields, _ = native.managed_update(
            types.schema,
            orjson.dumps(live),
            orjson.dumps(new),
            SCALE,
            manager,
            "scale",
            rfc3339(now),
            types.main,
        )
        return fields

    def apply_scale(
        self, live: Object, patch: Object, manager: str, now: datetime, *, force: bool
    ) -> tuple[Object, bytes | None]:
        """A Scale and its owners after a server-side apply; raises as ``apply``."""
        types = _scale_types()
        obj, fields, _ = native.managed_apply(
            types.schema,
            orjson.dumps(live),
            orjson.dumps(patch),
            SCALE,
            manager,
            "scale",
            rfc3339(now),
            types.main,
            force,
        )
        return orjson.loads(obj), fields

    def of_scale(self, served: Served, managed: Any) -> Any:
        """The owners that the Scale of an object shows, as JSON values; ``None``: none."""
        if not managed:
            return None
        found = native.managed_scale(orjson.dumps(managed), self._replicas(served))
        return None if found is None else orjson.loads(found)

    def from_scale(self, served: Served, managed: Any, scale: bytes | None) -> Managed:
        """The owners of an object (before: ``managed``) now that its Scale has ``scale``."""
        api_version = served.resource.api_version
        before = orjson.dumps(managed or [])
        after = native.managed_unscale(before, scale or b"[]", api_version, self._replicas(served))
        return Managed(after)

    def _replicas(self, served: Served) -> list[tuple[str, str]]:
        """Where each version of a resource keeps the number that its Scale shows."""
        return [
            (other.resource.api_version, other.scale.spec_replicas)
            for other in self._registry.same(served)
            if other.scale is not None
        ]

    def _others(self, served: Served) -> Others:
        """The schemas of the other versions with the same objects, and how to get there."""
        own = served.resource
        found = [other for other in self._registry.same(served) if other.resource is not own]
        if not found:
            return [], None
        by_version = {other.resource.api_version: other for other in [served, *found]}

        def convert(obj: bytes, api_version: str) -> bytes:
            return orjson.dumps(_converted(orjson.loads(obj), by_version, api_version))

        return [(other.resource.api_version, self.types(other).schema) for other in found], convert


def _converted(obj: Object, versions: dict[str, Served], wanted: str) -> Object:
    source, target = versions.get(obj.get("apiVersion", "")), versions[wanted]
    if source is not None and source.view is not None:
        obj = source.view.to_storage(obj)
    if target.view is not None:
        return target.view.from_storage(obj)
    return {**obj, "apiVersion": wanted}


def _compile(served: Served) -> Types:
    resource = served.resource
    has_status = "status" in resource.subresources
    if served.custom:
        schema = _custom(served.schema)
        status = [["spec"], ["metadata"]]
    else:
        schema = built_in(schemas.definition_name(resource))
        status = _STATUS_RESETS.get((resource.group, resource.plural), [["spec"]])
    return Types(
        schema,
        native.MergeFields([["status"]] if has_status else []),
        native.MergeFields(status if has_status else []),
    )


def of_answer(
    resource: Resource, obj: Object, manager: str, subresource: str, now: datetime
) -> list[Object]:
    """The owners that the answer to a request shows that is never stored."""
    fields, _ = native.managed_update(
        _answer_schema(resource),
        None,
        orjson.dumps(obj),
        resource.api_version,
        manager,
        subresource,
        rfc3339(now),
        native.MergeFields([]),
    )
    found: list[Object] = orjson.loads(fields) if fields else []
    return found


@lru_cache(maxsize=16)
def _answer_schema(resource: Resource) -> native.MergeSchema:
    return built_in(schemas.definition_name(resource))


@lru_cache(maxsize=1)
def _scale_types() -> Types:
    nothing = native.MergeFields([])
    return Types(built_in("io.k8s.api.autoscaling.v1.Scale"), nothing, nothing)


def built_in(name: str | None) -> native.MergeSchema:
    """The types of a definition; ``None``: of objects that nothing describes."""
    if name is None:
        return native.MergeSchema.untyped()
    closure = _closure(name)
    return native.MergeSchema.from_definitions(orjson.dumps(closure), _shapes(closure), name)


def _custom(schema: dict[str, Any] | None) -> native.MergeSchema:
    if schema is None:
        return native.MergeSchema.untyped()
    return native.MergeSchema.from_structural(
        orjson.dumps(schema), orjson.dumps(_closure(_META)), _META, False
    )


@lru_cache(maxsize=1)
def _shape_lines() -> dict[bytes, bytes]:
    text = gzip.decompress(bundle.read("shapes.json.gz"))
    return {name: fields for name, _, fields in (one.partition(b"\t") for one in text.splitlines())}


def _shapes(names: Iterable[str]) -> bytes:
    """How Go writes the empty fields of some definitions, as JSON."""
    lines = _shape_lines()
    known = [name.encode() for name in names if name.encode() in lines]
    return b"{%b}" % b",".join(b'"%b":%b' % (name, lines[name]) for name in known)


def _closure(name: str) -> dict[str, Any]:
    """A definition and all that it refers to."""
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = bundle.LOADED[name]
            waiting += _references(found[name])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        target = schema.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(schemas.PREFIX)
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)
