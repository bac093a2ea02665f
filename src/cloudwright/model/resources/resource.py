"""What a served kind is called: group, version, plural, scope … (discovery's ``APIResource``)."""

from __future__ import annotations

from dataclasses import dataclass

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What most resources can do, in discovery's order."""


@dataclass(frozen=True, slots=True)
class Resource:
    """The names of one served kind."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    """Of ``status scale log exec attach portforward eviction binding approval token``."""
    verbs: tuple[str, ...] = VERBS

    def __hash__(self) -> int:
        # Of what tells kinds apart: tables by kind are asked several times in each request.
        return hash((self.group, self.version, self.plural))

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path prefix: ``/api/v1`` or ``/apis/group/version``."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts.extend(part for part in (name, subresource) if part)
        return "/".join(parts)


def resource(
    api_version: str,
    kind: str,
    plural: str,
    *,
    short: str = "",
    categories: str = "",
    subs: str = "",
    namespaced: bool = True,
    verbs: tuple[str, ...] = VERBS,
) -> Resource:
    """A ``Resource`` from words: names that are several stand in one text, apart by blanks."""
    group, _, version = api_version.rpartition("/")
    return Resource(
        group,
        version,
        kind,
        plural,
        kind.lower(),
        namespaced,
        tuple(short.split()),
        tuple(categories.split()),
        frozenset(subs.split()),
        verbs,
    )
