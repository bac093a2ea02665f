"""Pods that nobody else would end. Pure.

Source: kubernetes ``pkg/controller/podgc``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cloudwright.model import conditions
from cloudwright.model.objects import Object, deleting, name_of
from cloudwright.model.pods import created_at, is_terminal
from cloudwright.operator.engines import taints
from cloudwright.operator.engines.templates import copy

ORPHANED, UNSCHEDULED, OUT_OF_SERVICE = "orphaned", "unscheduled", "out of service"


def lost(pod: Object, node: Mapping[str, Any] | None) -> str:
    """Why a pod is to be removed by force, or empty; ``node`` is its node if that exists."""
    name = (pod.get("spec") or {}).get("nodeName")
    if not name:
        return UNSCHEDULED if deleting(pod) else ""
    if node is None:
        return ORPHANED
    marks = (node.get("spec") or {}).get("taints") or ()
    away = any(taint.get("key") == taints.OUT_OF_SERVICE for taint in marks)
    return OUT_OF_SERVICE if deleting(pod) and away and taints.ready(node) != "True" else ""


def failed(pod: Object, why: str, now: datetime) -> Object | None:
    """The status that says that the pod has failed; ``None``: it has ended anyhow."""
    if is_terminal(pod):
        return None
    status: Object = copy(pod.get("status") or {})
    status["phase"] = "Failed"
    if why == ORPHANED:
        status["conditions"] = disrupted(
            status, "DeletionByPodGC", "PodGC: node no longer exists", now
        )
    return status


def disrupted(status: Object, reason: str, message: str, now: datetime) -> list[Any]:
    """The conditions with ``DisruptionTarget``."""
    entries = status.get("conditions")
    return list(conditions.set_condition(entries, "DisruptionTarget", "True", reason, message, now))


def surplus(pods: Sequence[Object], most: int) -> list[Object]:
    """Ended pods beyond ``most``: evicted ones first, then the oldest."""
    ended = [pod for pod in pods if is_terminal(pod)]

    def order(pod: Object) -> tuple[bool, str, str]:
        evicted = (pod.get("status") or {}).get("reason") == "Evicted"
        return not evicted, created_at(pod), name_of(pod)

    return sorted(ended, key=order)[: max(len(ended) - most, 0)]
