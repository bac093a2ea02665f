"""Why a node cannot take a pod: each rule gives its reason in upstream's words, or nothing.

Source: kubernetes ``pkg/scheduler/framework/plugins`` (the ``ErrReason`` constants).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, labels_of, namespace_of
from cloudwright.model.placement import matches_term, tolerates
from cloudwright.model.selectors import from_label_selector
from cloudwright.scheduler.state import NodeState, host_ports, requests_of

Filter = Callable[[Object, NodeState, Sequence[NodeState]], list[str]]
"""``(pod, node, all nodes) → reasons``; no reasons means the node passes."""

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


def tolerations_of(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """``spec.tolerations``."""
    return pod.get("spec", {}).get("tolerations") or ()


def node_unschedulable(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """``kubectl cordon``."""
    taint = {"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}
    if node.node.get("spec", {}).get("unschedulable") and not tolerates(tolerations_of(pod), taint):
        return ["node(s) were unschedulable"]
    return []


def node_ready(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """A node that says it is not ready, or that has gone silent."""
    entry = find(node.node.get("status", {}).get("conditions"), "Ready")
    if entry is None or entry.get("status") == "True":
        return []
    return ["node(s) were not ready"]


def node_name(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """``spec.nodeName`` given in advance."""
    wanted = pod.get("spec", {}).get("nodeName")
    if wanted and wanted != node.name:
        return ["node(s) didn't match the requested node name"]
    return []


def taints(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """Taints that keep pods away."""
    for taint in node.taints:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(
            tolerations_of(pod), taint
        ):
            return [
                f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value') or ''}}}"
            ]
    return []


def node_affinity(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """``nodeSelector`` and required node affinity."""
    spec = pod.get("spec", {})
    selector = spec.get("nodeSelector") or {}
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    fits = all(node.labels.get(key) == value for key, value in selector.items())
    if fits and required is not None:
        fits = any(
            matches_term(term, node.name, node.labels)
            for term in required.get("nodeSelectorTerms") or []
        )
    return [] if fits else ["node(s) didn't match Pod's node affinity/selector"]


def node_ports(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """Ports of the host that another pod holds."""
    wanted = host_ports(pod)
    if not wanted:
        return []
    for other in node.pods:
        for address, port, protocol in host_ports(other):
            for address2, port2, protocol2 in wanted:
                same = (port, protocol) == (port2, protocol2)
                wild = "0.0.0.0" in (address, address2)  # noqa: S104
                if same and (wild or address == address2):
                    return ["node(s) didn't have free ports for the requested pod ports"]
    return []


def resources(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """Processors, memory, number of pods and everything else that is counted."""
    allocatable = node.allocatable
    reasons = []
    if "pods" in allocatable and len(node.pods) + 1 > allocatable["pods"]:
        reasons.append("Too many pods")
    for name, amount in sorted(requests_of(pod).items()):
        free = allocatable.get(name, Decimal(0)) - node.used.get(name, Decimal(0))
        if amount > 0 and amount > free:
            reasons.append(f"Insufficient {name}")
    return reasons


def pod_affinity(pod: Object, node: NodeState, nodes: Sequence[NodeState]) -> list[str]:
    """Required affinity and anti-affinity between pods, also of those that already run."""
    affinity = pod.get("spec", {}).get("affinity") or {}
    for term in _required(affinity.get("podAffinity")):
        if not _near(term, pod, node, nodes) and not _first_of_its_kind(term, pod, node, nodes):
            return ["node(s) didn't match pod affinity rules"]
    for term in _required(affinity.get("podAntiAffinity")):
        if _near(term, pod, node, nodes):
            return ["node(s) didn't match pod anti-affinity rules"]
    for other in nodes:
        for running in other.pods:
            rules = (running.get("spec", {}).get("affinity") or {}).get("podAntiAffinity")
            for term in _required(rules):
                key = str(term.get("topologyKey"))
                together = key in node.labels and node.labels[key] == other.labels.get(key)
                if together and _selects(term, running, pod):
                    return ["node(s) didn't satisfy existing pods anti-affinity rules"]
    return []


def _required(rules: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return (rules or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or []


def _selects(term: Mapping[str, Any], owner: Object, pod: Object) -> bool:
    namespaces = term.get("namespaces") or [namespace_of(owner)]
    selector = from_label_selector(term.get("labelSelector"))
    return namespace_of(pod) in namespaces and selector.matches(labels_of(pod))


def _near(
    term: Mapping[str, Any], pod: Object, node: NodeState, nodes: Sequence[NodeState]
) -> bool:
    key = str(term.get("topologyKey"))
    place = node.labels.get(key)
    return place is not None and any(
        _selects(term, pod, running)
        for other in nodes
        if other.labels.get(key) == place
        for running in other.pods
    )


def _first_of_its_kind(
    term: Mapping[str, Any], pod: Object, node: NodeState, nodes: Sequence[NodeState]
) -> bool:
    """A pod that wants to be near its own kind must not wait for itself."""
    if str(term.get("topologyKey")) not in node.labels or not _selects(term, pod, pod):
        return False
    return not any(_selects(term, pod, running) for other in nodes for running in other.pods)


FILTERS: tuple[Filter, ...] = (
    node_unschedulable,
    node_ready,
    node_name,
    taints,
    node_affinity,
    node_ports,
    resources,
    pod_affinity,
)
"""In the order in which they are asked; the first one with reasons ends it for a node."""
