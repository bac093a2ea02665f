"""How many pods a ReplicaSet (or ReplicationController) makes, and which it ends.

Source: kubernetes ``pkg/controller/replicaset`` and ``controller_utils.go`` (``ActivePods``
deletion order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloudwright.model import conditions
from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, generation, labels_of, name_of
from cloudwright.operator.engines.ownership import pod_from

BURST = 500
"""The most pods created or deleted in one step, as upstream."""


def new_pod(replica_set: Object) -> Object:
    """A pod by the template; the server completes its name."""
    template = replica_set["spec"]["template"]
    return pod_from(template, replica_set, generateName=f"{name_of(replica_set)}-")


@dataclass(frozen=True, slots=True)
class Change:
    """How many pods to make and which to delete; one of them is empty."""

    create: int = 0
    delete: tuple[Object, ...] = ()


def change(replica_set: Mapping[str, Any], owned: Sequence[Object]) -> Change:
    """The difference between the wished and the active pods."""
    active = [pod for pod in owned if podstate.is_active(pod)]
    value = replica_set["spec"].get("replicas")
    wished = 1 if value is None else int(value)
    if len(active) < wished:
        return Change(create=min(wished - len(active), BURST))
    surplus = len(active) - wished
    return Change(delete=tuple(doomed_first(active)[: min(surplus, BURST)]))


def doomed_first(active: Sequence[Object]) -> list[Object]:
    """The order in which surplus pods go: without a node, pending, not ready, cheap
    (``pod-deletion-cost``), ready for the shortest time, most restarts, newest.
    """
    crowd: dict[str, int] = {}
    for pod in active:
        node = str(pod.get("spec", {}).get("nodeName") or "")
        crowd[node] = crowd.get(node, 0) + 1
    newest_first = sorted(active, key=lambda pod: (podstate.created_at(pod), name_of(pod)))[::-1]
    return sorted(newest_first, key=lambda pod: _rank(pod, crowd))


def _rank(pod: Mapping[str, Any], crowd: Mapping[str, int]) -> tuple[Any, ...]:
    node = str(pod.get("spec", {}).get("nodeName") or "")
    annotations = pod["metadata"].get("annotations") or {}
    cost = str(annotations.get("controller.kubernetes.io/pod-deletion-cost", "0"))
    since = podstate.ready_since(pod)
    return (
        bool(node),
        {"Pending": 0, "Unknown": 1}.get(podstate.phase(pod), 2),
        podstate.is_ready(pod),
        int(cost) if cost.lstrip("+-").isdigit() else 0,
        -crowd.get(node, 0),
        -since.timestamp() if since else 0.0,
        -max_restarts(pod),
    )


def max_restarts(pod: Mapping[str, Any]) -> int:
    """The most restarts that any of its containers had."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return max((int(entry.get("restartCount") or 0) for entry in statuses), default=0)


def status_of(
    replica_set: Object, owned: Sequence[Object], now: datetime, failure: str | None = None
) -> Object:
    """The status; ``failure`` is why the last create or delete did not work."""
    spec = replica_set["spec"]
    wait = int(spec.get("minReadySeconds") or 0)
    wanted = dict((spec.get("template", {}).get("metadata") or {}).get("labels") or {})
    active = [pod for pod in owned if podstate.is_active(pod)]
    old = replica_set.get("status") or {}
    entries = conditions.remove_condition(old.get("conditions"), "ReplicaFailure")
    if failure is not None:
        short = len(active) < int(spec.get("replicas", 1))
        entries = conditions.set_condition(
            old.get("conditions"),
            "ReplicaFailure",
            "True",
            "FailedCreate" if short else "FailedDelete",
            failure,
            now,
        )
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(
            all(labels_of(pod).get(k) == v for k, v in wanted.items()) for pod in active
        ),
        "readyReplicas": sum(podstate.is_ready(pod) for pod in active),
        "availableReplicas": sum(podstate.available(pod, wait, now) for pod in active),
        "observedGeneration": generation(replica_set),
    }
    if entries:
        status["conditions"] = entries
    return status


def available_in(
    replica_set: Mapping[str, Any], owned: Sequence[Object], now: datetime
) -> float | None:
    """Seconds until the next ready pod becomes available by ``minReadySeconds``."""
    wait = int(replica_set["spec"].get("minReadySeconds") or 0)
    if wait <= 0:
        return None
    times = [podstate.available_in(pod, wait, now) for pod in owned if podstate.is_active(pod)]
    return min((max(t, 0.0) for t in times if t is not None), default=None)
