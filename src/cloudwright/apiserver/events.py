"""Events have two faces on one storage: core ``v1`` (stored) and ``events.k8s.io/v1``. Pure.

Fields that only differ in name are renamed both ways; see k8s.io/api/events/v1.
"""

from __future__ import annotations

from cloudwright.apiserver.registry import View
from cloudwright.model.objects import Object

_RENAMED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_BACK = {core: new for new, core in _RENAMED.items()}


def from_core(event: Object) -> Object:
    """A stored (core) event as ``events.k8s.io/v1``."""
    shown = {_BACK.get(name, name): value for name, value in event.items()}
    shown["apiVersion"] = "events.k8s.io/v1"
    return shown


def to_core(event: Object) -> Object:
    """An ``events.k8s.io/v1`` event as it is stored."""
    stored = {_RENAMED.get(name, name): value for name, value in event.items()}
    stored["apiVersion"] = "v1"
    return stored


VIEW = View(from_storage=from_core, to_storage=to_core)
