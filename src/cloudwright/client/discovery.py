"""From what a person types (``po``, ``deploy.apps``, ``ms``, ``MicroService``) to a ``Resource``.

Built-in names are known without asking; others are looked up in the API's discovery documents
(no I/O here:
callers fetch, these functions read).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from cloudwright._base.errors import NotFoundError
from cloudwright.model.objects import Object
from cloudwright.model.resources import BUILT_IN, Resource


class UnknownResource(NotFoundError):
    """The API serves no resource of that name."""

    default_code = "CW2405"


def match(word: str, resources: Iterable[Resource] = BUILT_IN) -> Resource | None:
    """The first resource that ``word`` names: plural, singular, short name or kind, ``.group``
    optional.
    """
    name, _, group = word.lower().partition(".")
    for resource in resources:
        names = {resource.plural, resource.singular, resource.kind.lower(), *resource.short_names}
        if name in names and (not group or _fits(group, resource)):
            return resource
    return None


def _fits(group: str, resource: Resource) -> bool:
    return group in (resource.group, f"{resource.version}.{resource.group}") or (
        resource.group.startswith(group)
    )


def by_kind(
    api_version: str, kind: str, resources: Iterable[Resource] = BUILT_IN
) -> Resource | None:
    """The resource of an object's ``apiVersion`` and ``kind``."""
    for resource in resources:
        if resource.kind == kind and resource.api_version == api_version:
            return resource
    return None


def group_versions(groups: Object) -> list[str]:
    """``group/version`` of each group's preferred version in an ``APIGroupList`` (``/apis``)."""
    found = []
    for group in groups.get("groups", []):
        preferred = group.get("preferredVersion") or (group.get("versions") or [{}])[0]
        if version := preferred.get("groupVersion"):
            found.append(str(version))
    return found


def resources_of(document: Object) -> list[Resource]:
    """The resources of an ``APIResourceList`` (``/api/v1``, ``/apis/GROUP/VERSION``)."""
    group, _, version = str(document.get("groupVersion", "")).rpartition("/")
    entries = document.get("resources", [])
    subs: dict[str, set[str]] = {}
    for entry in entries:
        plural, slash, sub = str(entry["name"]).partition("/")
        if slash:
            subs.setdefault(plural, set()).add(sub)
    return [
        Resource(
            group=group,
            version=version,
            kind=str(entry["kind"]),
            plural=str(entry["name"]),
            singular=str(entry.get("singularName") or str(entry["kind"]).lower()),
            namespaced=bool(entry.get("namespaced")),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            subresources=frozenset(subs.get(str(entry["name"]), ())),
        )
        for entry in entries
        if "/" not in str(entry["name"])
    ]


def unknown(word: str, resources: Iterable[Resource]) -> UnknownResource:
    """The error for a name that nothing has, with the nearest one."""
    names = sorted({name for r in resources for name in (r.plural, r.singular, *r.short_names)})
    close = get_close_matches(word.lower(), names, 1)
    hint = f"did you mean {close[0]}?" if close else "see `kubectl api-resources`"
    return UnknownResource(f"the API has no resource {word!r}", hint=hint)
