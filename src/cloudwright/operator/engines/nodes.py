"""A node that renews its Lease no more is not ready; what it reported is unknown.

Source: kubernetes ``pkg/controller/nodelifecycle`` (``NodeStatusUnknown``). The age of a Lease is
counted from when *this* process saw it change, so that neither a clock that jumps nor an own
restart condemns a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.operator.engines.templates import copy

_KINDS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
MESSAGE = "Kubelet stopped posting node status."


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease's renewal as text, and when it was first seen (monotonic seconds)."""

    renewal: str
    seen: float


def sight(before: Sighting | None, lease: Object | None, now: float) -> Sighting:
    """The newest sighting of a node's Lease; a missing one has an empty renewal."""
    renewal = str(((lease or {}).get("spec") or {}).get("renewTime") or "")
    if before is not None and before.renewal == renewal:
        return before
    return Sighting(renewal, now)


def stale_in(sighting: Sighting, grace: float, now: float) -> float:
    """Seconds until the Lease is stale; zero or less when it is."""
    return sighting.seen + grace - now


def silenced(node: Object, now: datetime) -> Object | None:
    """The status with unknown conditions; ``None`` when it says so already."""
    status = copy(node.get("status") or {})
    entries = status.get("conditions") or []
    present = [kind for kind in _KINDS if kind == "Ready" or conditions.find(entries, kind)]
    known = [conditions.find(entries, kind) or {} for kind in present]
    if all(entry.get("status") == "Unknown" for entry in known):
        return None
    for kind in present:
        entries = conditions.set_condition(
            entries, kind, "Unknown", "NodeStatusUnknown", MESSAGE, now
        )
    status["conditions"] = entries
    return status
