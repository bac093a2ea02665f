"""Resources, encoded once and shared by all streams; immutable sets that know what changed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from cloudwright.mesh.xds import wire

_HISTORY = 64


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. ``version`` follows from its content, so it is the same after a restart."""

    name: str
    version: str
    any: bytes
    """The encoded ``google.protobuf.Any``."""
    refs: tuple[str, ...] = ()
    """Assignments that a cluster takes over ADS, or route configurations of a listener."""
    sotw_head: bytes = b""
    delta_head: bytes = b""
    digest: int = 0

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        return len(self.any) + len(self.delta_head)


def resource(name: str, encoded: bytes, refs: Iterable[str] = ()) -> Resource:
    """A resource from its encoded ``Any``."""
    digest = hashlib.blake2b(encoded, digest_size=8, key=name.encode()[:64]).digest()
    version, size = digest.hex(), len(encoded)
    return Resource(
        name,
        version,
        encoded,
        tuple(refs),
        wire.sotw_head(size),
        wire.delta_head(name, version, size),
        int.from_bytes(hashlib.blake2b(name.encode() + digest, digest_size=8).digest(), "big"),
    )


def known(name: str, version: str) -> Resource:
    """What a client says it has; its content is not looked at."""
    return Resource(name, version, b"")


@dataclass(slots=True, eq=False)
class _Lineage:
    """What each of the last steps changed."""

    steps: deque[tuple[int, frozenset[str]]] = field(default_factory=lambda: deque(maxlen=_HISTORY))


class TypeSet:
    """All resources of one type for some nodes. Never changes; ``replace`` makes the next one."""

    __slots__ = ("_body", "_generation", "_lineage", "_sum", "resources", "version")

    def __init__(
        self, resources: dict[str, Resource], total: int, lineage: _Lineage, generation: int
    ) -> None:
        self.resources: Mapping[str, Resource] = MappingProxyType(resources)
        self._sum = total % 2**64
        self.version = f"{self._sum:016x}"
        """The same for the same resources, in any order and after any history."""
        self._lineage = lineage
        self._generation = generation
        self._body: bytes | None = None

    def get(self, name: str) -> Resource | None:
        """A resource by its name."""
        return self.resources.get(name)

    def replace(self, resources: Mapping[str, Resource]) -> TypeSet:
        """The set with these resources; ``self`` when they are the same."""
        old = self.resources
        changed = {n for n, r in resources.items() if (o := old.get(n)) is None or _differ(o, r)}
        changed |= old.keys() - resources.keys()
        return self.patch({name: resources.get(name) for name in changed})

    def patch(self, changes: Mapping[str, Resource | None]) -> TypeSet:
        """The set with these resources put, or taken away (``None``)."""
        resources, total = dict(self.resources), self._sum
        for name, new in changes.items():
            if (old := resources.pop(name, None)) is not None:
                total -= old.digest
            if new is not None:
                resources[name] = new
                total += new.digest
        if not changes:
            return self
        generation = self._generation + 1
        steps = self._lineage.steps
        if steps and steps[-1][0] >= generation:  # somebody else went on from the same set
            return TypeSet(resources, total, _Lineage(), 0)
        steps.append((generation, frozenset(changes)))
        return TypeSet(resources, total, self._lineage, generation)

    def changed_since(self, older: TypeSet) -> frozenset[str] | set[str]:
        """The names whose resource is another one than in ``older``, and maybe some more."""
        if older is self:
            return frozenset()
        steps = self._lineage.steps
        lineage = older._lineage is self._lineage and older._generation < self._generation
        if lineage and steps and steps[0][0] <= older._generation + 1:
            first = older._generation - steps[0][0] + 1
            last = self._generation - steps[0][0] + 1
            return set(chain.from_iterable(steps[i][1] for i in range(first, last)))
        mine, theirs = self.resources, older.resources
        changed = {n for n, r in mine.items() if (o := theirs.get(n)) is None or _differ(o, r)}
        return changed | (theirs.keys() - mine.keys())

    def body(self) -> bytes:
        """All resources as a ``DiscoveryResponse`` has them; joined once, for all streams."""
        if self._body is None:
            self._body = sotw_body(self.resources.values())
        return self._body


def _differ(one: Resource, other: Resource) -> bool:
    return one is not other and (one.version != other.version or one.refs != other.refs)


def sotw_body(resources: Iterable[Resource]) -> bytes:
    """Resources as a ``DiscoveryResponse`` has them."""
    return b"".join(chain.from_iterable((r.sotw_head, r.any) for r in resources))


def delta_body(resources: Iterable[Resource]) -> bytes:
    """Resources as a ``DeltaDiscoveryResponse`` has them."""
    return b"".join(chain.from_iterable((r.delta_head, r.any) for r in resources))


def type_set(resources: Iterable[Resource] = ()) -> TypeSet:
    """The first set of its line."""
    found = {one.name: one for one in resources}
    return TypeSet(found, sum(one.digest for one in found.values()), _Lineage(), 0)


EMPTY = type_set()

View = Mapping[str, TypeSet]
"""What one node is told: a set for each type URL; a missing one is ``EMPTY``."""
