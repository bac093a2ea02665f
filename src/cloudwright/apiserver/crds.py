"""CustomResourceDefinitions: what they say, whether their names are free, what they serve. Pure.

``apiextensions.k8s.io/v1`` with structural schemas and conversion ``None``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from cloudwright.apiserver import priorities, structures
from cloudwright.apiserver.customs import CustomKind
from cloudwright.apiserver.registry import Hook, ScalePaths, Served, View, storage_of
from cloudwright.apiserver.structures import Structure
from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Finalizer that holds a definition until its instances are gone."""
PLURAL = "customresourcedefinitions"


class Converters(Protocol):
    """Converts between versions by a definition's webhook (``conversions.Conversions``)."""

    def converter(self, crd: Object, api_version: str) -> Callable[[Object], Object]:
        """Gives objects in a version."""

    def seed(self, crd: Object, api_version: str, obj: Object, converted: Object) -> None:
        """``converted`` is ``obj`` in a version."""


@dataclass(frozen=True, slots=True)
class Names:
    """``spec.names`` with its defaults."""

    plural: str
    singular: str
    kind: str
    list_kind: str
    short: tuple[str, ...]
    categories: tuple[str, ...]

    def as_json(self) -> Object:
        """As ``status.acceptedNames`` shows them."""
        shown: Object = {
            "plural": self.plural,
            "singular": self.singular,
            "kind": self.kind,
            "listKind": self.list_kind,
        }
        if self.short:
            shown["shortNames"] = list(self.short)
        if self.categories:
            shown["categories"] = list(self.categories)
        return shown


def names_of(crd: Object) -> Names:
    """The names that a definition asks for."""
    given = crd["spec"]["names"]
    return Names(
        plural=given["plural"],
        singular=given.get("singular") or given["kind"].lower(),
        kind=given["kind"],
        list_kind=given.get("listKind") or f"{given['kind']}List",
        short=tuple(given.get("shortNames") or ()),
        categories=tuple(given.get("categories") or ()),
    )


def settle(crd: Object, taken: Iterable[Served], now: datetime) -> bool:
    """Write the status that follows from the names; whether they may be served."""
    wanted = names_of(crd)
    status = crd.setdefault("status", {})
    problem, accepted = _accepted(crd, wanted, taken, status.get("acceptedNames") or {})
    found = status.get("conditions")
    if problem is None:
        found = _condition(found, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        message = "the initial names have been accepted"
        found = _condition(found, "Established", "True", "InitialNamesAccepted", message, now)
    else:
        found = _condition(found, "NamesAccepted", "False", problem[0], problem[1], now)
        if not conditions.is_true(found, "Established"):
            message = "not all names are accepted"
            found = _condition(found, "Established", "False", "NotAccepted", message, now)
    if crd["metadata"].get("deletionTimestamp"):
        message = "CustomResource deletion is in progress"
        found = _condition(found, "Terminating", "True", "InstanceDeletionInProgress", message, now)
    status["conditions"] = found
    status["acceptedNames"] = accepted
    storage = storage_version_of(crd)["name"]
    before = status.get("storedVersions") or []
    status["storedVersions"] = [*before, *([] if storage in before else [storage])]
    return problem is None


def accepted(crd: Object) -> bool:
    """Whether the definition has the names that it asks for."""
    return conditions.is_true((crd.get("status") or {}).get("conditions"), "NamesAccepted")


def established(crd: Object) -> bool:
    """Whether the definition is served."""
    return conditions.is_true((crd.get("status") or {}).get("conditions"), "Established")


def served(crd: Object, convert: Converters | None = None) -> list[Served]:
    """An entry for each served version; ``convert`` converts between them where a webhook does."""
    return [
        _version(crd, version, convert)
        for version in crd["spec"]["versions"]
        if version.get("served")
    ]


def storage_version_of(crd: Object) -> Object:
    """The version in which objects are stored."""
    found: Object = next(one for one in crd["spec"]["versions"] if one.get("storage"))
    return found


def _view(
    crd: Object, version: Object, structure: Structure | None, convert: Converters | None
) -> View | None:
    """How stored objects are read as ``version``; ``None``: as they are, but for their version.

    Objects that are older than the newest schema may lack its defaults, and objects that are stored
    in another version may have fields that this one does not know.
    """
    spec, stored = crd["spec"], storage_version_of(crd)
    same = stored["name"] == version["name"]
    here, there = f"{spec['group']}/{version['name']}", f"{spec['group']}/{stored['name']}"
    if convert is not None and not same and by_webhook(crd):
        to, back = convert.converter(crd, here), convert.converter(crd, there)
        storage = _structure(stored)

        def write(obj: Object) -> Object:
            found = _prepared(storage, back(obj))
            convert.seed(crd, here, found, obj)  # so that the answer need not be asked for
            return found

        return View(from_storage=lambda obj: _prepared(structure, to(obj)), to_storage=write)
    changed = int(crd["metadata"].get("generation") or 1) > 1
    differs = not same and version.get("schema") != stored.get("schema")
    if structure is None or not (changed or differs):
        return None

    def read(obj: Object) -> Object:
        obj["apiVersion"] = here
        return _prepared(structure, obj)

    return View(from_storage=read, to_storage=lambda obj: {**obj, "apiVersion": there})


def by_webhook(crd: Object) -> bool:
    """Whether a webhook converts between the versions."""
    return (crd["spec"].get("conversion") or {}).get("strategy") == "Webhook"


def hook_of(crd: Object) -> Hook:
    """The webhook of a definition that has one."""
    hook = crd["spec"]["conversion"]["webhook"]
    name = f"{crd['metadata']['name']}/{crd['metadata'].get('generation', 1)}"
    versions = tuple(hook.get("conversionReviewVersions") or ())
    return Hook(name, hook["clientConfig"], versions)


def _structure(version: Object) -> Structure | None:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    return structures.of(schema) if schema is not None else None


def _prepared(structure: Structure | None, obj: Object) -> Object:
    return obj if structure is None else structure.prepare(obj)[0]


def _warning(crd: Object, resource: Resource, version: Object) -> str:
    if not version.get("deprecated"):
        return ""
    given = version.get("deprecationWarning")
    if given is not None:
        return str(given)
    plain = f"{resource.group}/{resource.version} {resource.kind} is deprecated"
    versions = [one for one in crd["spec"]["versions"] if one["served"]]
    good = [one["name"] for one in versions if not one.get("deprecated")]
    better = min(good, key=priorities.by_version, default="")
    if not better or priorities.by_version(better) > priorities.by_version(resource.version):
        return plain
    return f"{plain}; use {resource.group}/{better} {resource.kind}"


def _version(crd: Object, version: Object, convert: Converters | None) -> Served:
    spec, accepted = crd["spec"], names_of(crd)
    storage_version = f"{spec['group']}/{storage_version_of(crd)['name']}"
    subresources = version.get("subresources") or {}
    resource = Resource(
        spec["group"],
        version["name"],
        accepted.kind,
        accepted.plural,
        accepted.singular,
        spec["scope"] == "Namespaced",
        accepted.short,
        accepted.categories,
        frozenset(name for name in ("status", "scale") if name in subresources),
    )
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    structure = structures.of(schema) if schema is not None else None
    view = _view(crd, version, structure, convert)
    scale = subresources.get("scale")
    columns = version.get("additionalPrinterColumns")
    selectable = version.get("selectableFields") or ()
    return Served(
        resource=resource,
        storage=storage_of(resource.group, resource.plural),
        storage_version=storage_version,
        kind=CustomKind(resource, structure, _scale(scale) if scale else None),
        schema=schema,
        structure=structure,
        view=view,
        warning=_warning(crd, resource, version),
        hook=hook_of(crd) if by_webhook(crd) and storage_version != resource.api_version else None,
        scale=_scale(scale) if scale else None,
        columns=tuple(columns or ()),
        custom=True,
        patch_keys=False,
        field_paths=frozenset(one["jsonPath"].removeprefix(".") for one in selectable),
    )


def _scale(scale: Object) -> ScalePaths:
    return ScalePaths(
        scale["specReplicasPath"].removeprefix("."),
        scale["statusReplicasPath"].removeprefix("."),
        (scale.get("labelSelectorPath") or "").removeprefix("."),
    )


def _accepted(
    crd: Object, wanted: Names, taken: Iterable[Served], before: Object
) -> tuple[tuple[str, str] | None, Object]:
    """Reason and message of the last conflict, and the names that are the definition's own.

    A name that was accepted before stays so; each other must not be used in its group.
    """
    group = crd["spec"]["group"]
    others = [one for one in taken if one.resource.group == group]
    own = [one for one in others if one.resource.plural == wanted.plural]
    if any(not one.custom and one.resource.kind == wanted.kind for one in own):
        return None, wanted.as_json()  # built in under the same names: the platform serves it
    others = [one for one in others if one not in own or not one.custom]
    resources, kinds = set[str](), set[str]()
    for one in others:
        resources |= {one.resource.plural, one.resource.singular, *one.resource.short_names}
        kinds |= {one.resource.kind, one.list_kind}
    accepted: Object = {"plural": "", "kind": ""} | before
    problem: tuple[str, str] | None = None
    for name, reason, value, used in (
        ("plural", "PluralConflict", wanted.plural, resources),
        ("singular", "SingularConflict", wanted.singular, resources),
        ("shortNames", "ShortNamesConflict", list(wanted.short), resources),
        ("kind", "KindConflict", wanted.kind, kinds),
        ("listKind", "ListKindConflict", wanted.list_kind, kinds),
    ):
        had = before.get(name) or ()
        values = value if isinstance(value, list) else [value]
        fresh = [one for one in values if one not in (had if isinstance(had, list) else [had])]
        clashes = [f'"{one}" is already in use' for one in fresh if one in used]
        if clashes:
            text = clashes[0] if len(clashes) == 1 else f"[{', '.join(clashes)}]"
            problem = (reason, text)
        elif value:
            accepted[name] = value
        else:
            accepted.pop(name, None)
    if wanted.categories:
        accepted["categories"] = list(wanted.categories)
    else:
        accepted.pop("categories", None)
    return problem, accepted


def _condition(
    found: Any,
    kind: str,
    status: Literal["True", "False"],
    reason: str,
    message: str,
    now: datetime,
) -> list[Object]:
    return list(
        conditions.set_condition(
            found, kind, status=status, reason=reason, message=message, now=now
        )
    )
