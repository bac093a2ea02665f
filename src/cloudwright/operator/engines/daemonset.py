"""Which nodes a DaemonSet wants a pod on, and how it replaces old pods by new ones.

Source: kubernetes ``pkg/controller/daemon`` (``daemon_controller.go``, ``update.go``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudwright.model import pods as podstate
from cloudwright.model.objects import Object, deleting, generation, labels_of, name_of
from cloudwright.model.placement import matches_term, tolerates
from cloudwright.operator.engines.history import HASH
from cloudwright.operator.engines.ownership import pod_from
from cloudwright.operator.engines.rolling import resolve

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


@dataclass(slots=True)
class Step:
    """Nodes that need a pod, and pods that must go."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def target_of(pod: Mapping[str, Any]) -> str:
    """The node that a daemon pod is for, bound or not."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for entry in term.get("matchFields") or ():
            if entry.get("key") == "metadata.name" and len(entry.get("values") or ()) == 1:
                return str(entry["values"][0])
    return ""


def wanted_on(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """Whether a pod should be started there, and whether one that runs may stay."""
    spec = daemon_set["spec"]["template"].get("spec") or {}
    if spec.get("nodeName") and spec["nodeName"] != name_of(node):
        return False, False
    selector = spec.get("nodeSelector") or {}
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in selector.items()):
        return False, False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required and not any(
        matches_term(term, name_of(node), labels)
        for term in required.get("nodeSelectorTerms") or ()
    ):
        return False, False
    tolerations = [*(spec.get("tolerations") or ()), *_tolerations(spec)]
    run = stay = True
    for taint in (node.get("spec") or {}).get("taints") or ():
        if not tolerates(tolerations, taint):
            if taint.get("effect") in ("NoSchedule", "NoExecute"):
                run = False
            if taint.get("effect") == "NoExecute":
                stay = False
    return run, stay


def new_pod(daemon_set: Object, node: str, revision_hash: str) -> Object:
    """The pod of one node; the scheduler binds it there."""
    pod = pod_from(
        daemon_set["spec"]["template"],
        daemon_set,
        generateName=f"{name_of(daemon_set)}-",
        labels={
            HASH: revision_hash,
            "pod-template-generation": str(generation(daemon_set)),
        },
    )
    spec = pod["spec"]
    spec["tolerations"] = [*(spec.get("tolerations") or ()), *_tolerations(spec)]
    field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = spec.setdefault("affinity", {})
    node_affinity = affinity.setdefault("nodeAffinity", {})
    required = node_affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [field_]} for term in terms]
    return pod


def manage(daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object]) -> Step:
    """What brings every node to its pod; surplus, failed and misplaced pods go."""
    step = Step()
    by_node = _by_node(owned)
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = str(rolling.get("maxSurge") or 0).rstrip("%") != "0"
    for node in nodes:
        run, stay = wanted_on(daemon_set, node)
        pods = by_node.pop(name_of(node), [])
        alive = [pod for pod in pods if not podstate.is_terminal(pod) and not deleting(pod)]
        step.delete += [pod for pod in pods if podstate.is_terminal(pod) and not deleting(pod)]
        if run and not pods:
            step.create.append(name_of(node))
        elif (run or stay) and len(alive) > 1 and not surge:
            step.delete += sorted(alive, key=podstate.created_at)[1:]
        elif not stay:
            step.delete += alive
    for pods in by_node.values():  # their node is gone
        step.delete += [pod for pod in pods if not deleting(pod)]
    return step


def roll(
    daemon_set: Object,
    nodes: Sequence[Object],
    owned: Sequence[Object],
    revision_hash: str,
    now: datetime,
) -> Step:
    """The next step of a rolling update: at most ``maxUnavailable`` nodes without a pod, or new
    pods beside old ones on ``maxSurge`` nodes.
    """
    step = Step()
    if (daemon_set["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
        return step
    wait = int(daemon_set["spec"].get("minReadySeconds") or 0)
    wanted = [name_of(node) for node in nodes if wanted_on(daemon_set, node)[0]]
    percents = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = resolve(percents.get("maxSurge"), len(wanted), up=True, default="0%")
    unavailable = resolve(percents.get("maxUnavailable", 1), len(wanted), up=True, default="0%")
    if not surge and not unavailable:
        unavailable = 1
    by_node = _by_node([pod for pod in owned if not podstate.is_terminal(pod)])
    down, surging = 0, 0
    candidates: list[tuple[bool, Object]] = []
    for node in wanted:
        pods = by_node.get(node, [])
        new = [pod for pod in pods if labels_of(pod).get(HASH) == revision_hash]
        old = [pod for pod in pods if labels_of(pod).get(HASH) != revision_hash]
        fine = any(podstate.available(pod, wait, now) and not deleting(pod) for pod in pods)
        down += not fine
        if old and new:
            surging += 1
            ready = [pod for pod in new if podstate.available(pod, wait, now)]
            if ready:
                step.delete += [pod for pod in old if not deleting(pod)]
        elif old and not any(deleting(pod) for pod in old):
            candidates.append((fine, old[0]))
    for fine, pod in sorted(candidates, key=lambda one: (one[0], name_of(one[1]))):
        if surge:
            if not fine:
                step.delete.append(pod)
            elif surging < surge:
                surging += 1
                step.create.append(target_of(pod))
        elif not fine:
            step.delete.append(pod)  # it serves nobody: nothing is lost
        elif down < unavailable:
            down += 1
            step.delete.append(pod)
    return step


def status_of(
    daemon_set: Object,
    nodes: Sequence[Object],
    owned: Sequence[Object],
    revision_hash: str,
    now: datetime,
) -> Object:
    """``DaemonSetStatus``."""
    wait = int(daemon_set["spec"].get("minReadySeconds") or 0)
    by_node = _by_node([pod for pod in owned if not podstate.is_terminal(pod)])
    desired = current = misscheduled = ready = available = updated = 0
    for node in nodes:
        run, _ = wanted_on(daemon_set, node)
        pods = sorted(by_node.get(name_of(node), ()), key=podstate.created_at)
        if not run:
            misscheduled += bool(pods)
            continue
        desired += 1
        current += bool(pods)
        ready += any(podstate.is_ready(pod) for pod in pods)
        available += any(podstate.available(pod, wait, now) for pod in pods)
        updated += any(labels_of(pod).get(HASH) == revision_hash for pod in pods)
    old = daemon_set.get("status") or {}
    status: Object = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": generation(daemon_set),
    }
    if updated:
        status["updatedNumberScheduled"] = updated
    if available:
        status["numberAvailable"] = available
    if desired - available:
        status["numberUnavailable"] = desired - available
    for kept in ("collisionCount", "conditions"):
        if old.get(kept):
            status[kept] = old[kept]
    return status


def available_in(daemon_set: Object, owned: Sequence[Object], now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available."""
    wait = int(daemon_set["spec"].get("minReadySeconds") or 0)
    times = [podstate.available_in(pod, wait, now) for pod in owned if podstate.is_active(pod)]
    return min((max(time, 0.0) for time in times if time is not None), default=None)


def _by_node(owned: Sequence[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in owned:
        found.setdefault(target_of(pod), []).append(pod)
    return found


def _tolerations(spec: Mapping[str, Any]) -> list[Object]:
    known: tuple[tuple[str, str], ...] = _TOLERATED
    if spec.get("hostNetwork"):
        known = (*known, ("node.kubernetes.io/network-unavailable", "NoSchedule"))
    given = spec.get("tolerations") or ()
    wanted: list[Object] = [
        {"key": key, "operator": "Exists", "effect": effect} for key, effect in known
    ]
    return [one for one in wanted if one not in given]
