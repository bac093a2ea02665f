"""Who leads: a Lease that its holder renews, and that others may take once it is stale.

Source: client-go ``tools/leaderelection``. Staleness is counted from when *this* process saw the
last renewal, never from the time in it, so clocks need not agree. A Lease is no lock: a holder that
sleeps may write once more after another took over; the revision in each write is what protects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cloudwright._base.clock import rfc3339_micro
from cloudwright.model.objects import Object
from cloudwright.operator.engines.nodes import Sighting
from cloudwright.operator.engines.templates import copy


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, as upstream's defaults."""

    duration: float = 15.0
    """After this long without renewal others may take the Lease."""
    renew_within: float = 10.0
    """A leader that cannot renew for this long steps down."""
    retry: float = 2.0


def holder_of(lease: Object | None) -> str:
    """Who holds it; empty when nobody does."""
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def claim(
    lease: Object | None,
    name: tuple[str, str],
    me: str,
    sighting: Sighting,
    timing: Timing,
    now: datetime,
    monotonic: float,
) -> Object | None:
    """The Lease to write so that ``me`` holds it; ``None`` while somebody else does.

    ``name`` is ``(namespace, name)``; ``sighting`` is when its renewal was first seen.
    """
    holder = holder_of(lease)
    mine = holder == me
    if holder and not mine and sighting.seen + timing.duration > monotonic:
        return None
    moment = rfc3339_micro(now)
    if lease is None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": name[0], "name": name[1]},
        }
    changed = copy(lease)
    spec = dict(changed.get("spec") or {})
    if not mine:
        spec["acquireTime"] = moment
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + bool(holder)
    spec.update(
        holderIdentity=me, leaseDurationSeconds=max(int(timing.duration), 1), renewTime=moment
    )
    changed["spec"] = spec
    return changed


def released(lease: Object, me: str) -> Object | None:
    """The Lease without a holder, so that nobody need wait; ``None`` if it is not ours."""
    if holder_of(lease) != me:
        return None
    changed = copy(lease)
    changed["spec"]["holderIdentity"] = ""
    return changed
