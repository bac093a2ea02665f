"""What is served: built-in kinds and the versions of CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from cloudwright.model.fields import FieldError
from cloudwright.model.objects import Object
from cloudwright.model.resources import Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.structures import Structure


@dataclass(frozen=True, slots=True)
class Hook:
    """The conversion webhook of one definition."""

    name: str
    """``NAME/GENERATION`` of the definition."""
    config: Mapping[str, Any]
    """Its ``clientConfig``."""
    review_versions: tuple[str, ...]


class Kind(Protocol):
    """The rules of one kind; ``model.kinds`` has them for the built-in ones."""

    def prepare_create(self, obj: Object, now: datetime) -> Object:
        """The object with defaults, without what a user may not set."""

    def prepare_update(self, new: Object, old: Object) -> Object:
        """The new object with defaults and what must be kept of the old one."""

    def validate(self, obj: Object, old: Object | None) -> list[FieldError]:
        """What is wrong with it; ``old`` is there for an update."""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource finds its numbers (dotted, relative to the object)."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = ""
    """Path of a selector in text form; empty: ``spec.selector`` as a ``LabelSelector``."""


@dataclass(frozen=True, slots=True)
class View:
    """Conversion between the stored form and this version's form, both as objects."""

    from_storage: Callable[[Object], Object]
    to_storage: Callable[[Object], Object]


@dataclass(frozen=True, slots=True)
class Served:
    """One version of one resource: its names, its rules, where its objects are stored."""

    resource: Resource
    storage: str
    """Key prefix of its objects: ``/apps/deployments/``."""
    storage_version: str
    """``apiVersion`` that stored objects carry."""
    kind: Kind
    schema: dict[str, Any] | None = None
    """JSON schema of the objects, for unknown fields; ``None``: any field goes."""
    scale: ScalePaths | None = None
    view: View | None = None
    columns: tuple[dict[str, Any], ...] | None = None
    """``additionalPrinterColumns``; ``None``: the kind's own table."""
    custom: bool = False
    """Defined by a CustomResourceDefinition."""
    patch_keys: bool = True
    """Strategic merge patches have merge keys for it."""
    field_paths: frozenset[str] = frozenset()
    """Fields that a field selector may ask for beside name and namespace."""
    structure: Structure | None = None
    """The compiled schema of a custom kind: prunes, fills in defaults and validates."""
    warning: str = ""
    """Told to whoever uses a deprecated version."""
    hook: Hook | None = None
    """The webhook that converts between this version and the stored one."""

    @property
    def list_kind(self) -> str:
        """``PodList`` and so on."""
        return f"{self.resource.kind}List"

    @property
    def bare(self) -> bool:
        """Whether items of its lists leave out their version and kind, as upstream's built-in
        kinds do.
        """
        return self.patch_keys and not self.custom

    def key(self, namespace: str, name: str) -> str:
        """The store key of an object."""
        return f"{self.storage}{namespace}/{name}"

    def prefix(self, namespace: str) -> str:
        """The store prefix of a namespace's objects, or of all."""
        return f"{self.storage}{namespace}/" if namespace else self.storage


Target = tuple[Served, str, str, str, str, bool]
"""What a path names: resource, verb, namespace, name, subresource, and whether it says watch."""
_TARGETS_MAX = 4096


def storage_of(group: str, plural: str) -> str:
    """The key prefix of a resource's objects."""
    return f"/{group or 'core'}/{plural}/"


class Registry:
    """Every served version; grows and shrinks with CustomResourceDefinitions."""

    def __init__(self, served: Iterable[Served]) -> None:
        self._served: dict[tuple[str, str, str], Served] = {}
        self.generation = 0
        """Grows with each change, so that discovery may cache."""
        self.listeners: list[Callable[[], None]] = []
        """Called after each change."""
        self.closed: set[tuple[str, str]] = set()
        """``(group, plural)`` of definitions that are being deleted: nothing new is created."""
        self._same: dict[str, tuple[Served, ...]] = {}
        self.targets: dict[tuple[str, str], Target] = {}
        """By method and path, for as long as nothing changes."""
        for entry in served:
            self.add(entry)

    def find(self, group: str, version: str, plural: str) -> Served | None:
        """The entry that a path names, if it is served."""
        return self._served.get((group, version, plural))

    def all(self) -> list[Served]:
        """Every served version, in the order it was added."""
        return list(self._served.values())

    def add(self, served: Served) -> None:
        """Serve it, or replace what was served under the same names."""
        resource = served.resource
        self._served[(resource.group, resource.version, resource.plural)] = served
        self._changed()

    def remove(self, group: str, plural: str) -> None:
        """Serve no version of a resource any more."""
        for key in [key for key in self._served if key[0] == group and key[2] == plural]:
            del self._served[key]
        self.closed.discard((group, plural))
        self._changed()

    def same(self, served: Served) -> tuple[Served, ...]:
        """Every version that shows the objects of ``served``, itself too."""
        found = self._same.get(served.storage)
        if found is None:
            found = tuple(one for one in self._served.values() if one.storage == served.storage)
            self._same[served.storage] = found
        return found

    def remember(self, asked: tuple[str, str], target: Target) -> None:
        """Keep what a method and path were found to name."""
        if len(self.targets) >= _TARGETS_MAX:
            self.targets.clear()
        self.targets[asked] = target

    def touch(self) -> None:
        """What is served elsewhere changed: documents about it are made anew."""
        self._changed()

    def _changed(self) -> None:
        self.generation += 1
        self.targets.clear()
        self._same.clear()
        for listener in self.listeners:
            listener()
