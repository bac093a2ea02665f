"""How many pods each ReplicaSet of a Deployment may have: upstream's rolling-update arithmetic.

Source: kubernetes ``pkg/controller/deployment/util`` (``NewRSNewReplicas``, ``ResolveFenceposts``,
``GetReplicaSetProportion``) and ``rolling.go``. Numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cloudwright.model.shares import of_total


@dataclass(frozen=True, slots=True)
class Size:
    """One ReplicaSet in numbers: wished replicas, available replicas, age (0 is the oldest)."""

    name: str
    replicas: int
    available: int
    created: str = ""
    max_replicas: int | None = None
    """Annotation ``deployment.kubernetes.io/max-replicas``: replicas + surge at the last scale."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The bounds of a rolling update."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def ceiling(self) -> int:
        """The most pods that may exist."""
        return self.replicas + self.surge

    @property
    def floor(self) -> int:
        """The fewest available pods that may remain."""
        return self.replicas - self.unavailable


def resolve(value: int | str | None, replicas: int, *, up: bool, default: str) -> int:
    """An ``IntOrString`` (number or percentage) of ``replicas``.

    Raises:
        ValueError: it is neither a number nor a percentage.
    """
    return max(of_total(default if value is None else value, replicas, up=up), 0)


def fence(replicas: int, max_surge: int | str | None, max_unavailable: int | str | None) -> Fence:
    """The bounds for ``replicas``; both being zero would never move, so one may be unavailable."""
    surge = resolve(max_surge, replicas, up=True, default="25%")
    unavailable = resolve(max_unavailable, replicas, up=False, default="25%")
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Fence(replicas, surge, min(unavailable, replicas))


def new_replicas(bounds: Fence, new: int, total: int) -> int:
    """The wished size of the new ReplicaSet: as far up as the ceiling allows.

    ``new`` is its size now, ``total`` the sum of all ReplicaSets with it.
    """
    if new > bounds.replicas:
        return bounds.replicas
    room = bounds.ceiling - total
    return new if room <= 0 else new + min(room, bounds.replicas - new)


def shrink_old(bounds: Fence, new: Size | None, old: Sequence[Size]) -> dict[str, int]:
    """New sizes of old ReplicaSets: first pods that are not available, then as many available
    ones as the floor allows. Only those that change are named.
    """
    total = sum(size.replicas for size in old) + (new.replicas if new else 0)
    coming = max(new.replicas - new.available, 0) if new else 0
    budget = total - bounds.floor - coming
    if budget <= 0:
        return {}
    sizes = {size.name: size.replicas for size in old}
    by_age = sorted(old, key=lambda size: (size.created, size.name))
    broken = 0
    for size in by_age:
        count = min(budget - broken, max(sizes[size.name] - size.available, 0))
        sizes[size.name] -= count
        broken += count
    available = sum(size.available for size in old) + (new.available if new else 0)
    spare = min(available - bounds.floor, budget - broken)
    for size in by_age:
        count = min(sizes[size.name], max(spare, 0))
        sizes[size.name] -= count
        spare -= count
    return {size.name: sizes[size.name] for size in old if sizes[size.name] != size.replicas}


def spread(bounds: Fence, sizes: Sequence[Size], status_replicas: int) -> dict[str, int]:
    """New sizes when the Deployment is scaled in the middle of a roll-out: each active ReplicaSet
    gets its share, the biggest one the rest.
    """
    live = [size for size in sizes if size.replicas > 0]
    allowed = bounds.ceiling if bounds.replicas > 0 else 0
    to_add = allowed - sum(size.replicas for size in live)
    newer_first = sorted(live, key=lambda size: (size.created, size.name), reverse=to_add > 0)
    order = sorted(newer_first, key=lambda size: -size.replicas)
    result: dict[str, int] = {}
    added = 0
    for size in order:
        share = _share(bounds, size, status_replicas)
        left = to_add - added
        part = max(min(share, left), 0) if to_add > 0 else min(max(share, left), 0)
        result[size.name] = size.replicas + part
        added += part
    for size in order:
        change = max(to_add - added, -result[size.name])
        result[size.name] += change
        added += change
    return result


def _share(bounds: Fence, size: Size, status_replicas: int) -> int:
    """How many pods one ReplicaSet gains or loses by its fraction of the whole."""
    if bounds.replicas == 0:
        return -size.replicas
    before = size.max_replicas or status_replicas
    if not before:
        return 0
    # Half away from zero, as Go's math.Round does.
    return math.floor(size.replicas * bounds.ceiling / before + 0.5) - size.replicas
