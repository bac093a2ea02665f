"""The decision for one pod: filter, score, and a reason for every node that was refused.

Pure: the same nodes and pods always give the same answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from cloudwright.model.objects import Object
from cloudwright.model.placement import matches_term, tolerates
from cloudwright.scheduler.filters import FILTERS, Filter, tolerations_of
from cloudwright.scheduler.state import NodeState, requests_of

_SCORED = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes, or why nowhere."""

    node: str | None
    message: str = ""
    """Upstream's summary: ``0/1 nodes are available: 1 Insufficient memory.``"""
    rejections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Reasons by the name of the node that was refused."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Points (higher is better) by the name of a node that passed."""


def decide(
    pod: Object, nodes: Sequence[NodeState], filters: Sequence[Filter] = FILTERS
) -> Decision:
    """Choose a node; ties go to the node with fewer pods, then by name."""
    rejections: dict[str, tuple[str, ...]] = {}
    fitting: list[NodeState] = []
    for node in nodes:
        reasons = next((r for rule in filters if (r := rule(pod, node, nodes))), [])
        if reasons:
            rejections[node.name] = tuple(reasons)
        else:
            fitting.append(node)
    if not fitting:
        return Decision(None, summary(len(nodes), rejections), rejections)
    scores = {node.name: score(pod, node) for node in fitting}
    best = min(fitting, key=lambda node: (-scores[node.name], len(node.pods), node.name))
    return Decision(best.name, f"chose {best.name}", rejections, scores)


def summary(total: int, rejections: Mapping[str, Sequence[str]]) -> str:
    """The message of condition ``PodScheduled`` and event ``FailedScheduling``."""
    if total == 0:
        return "no nodes available to schedule pods"
    counts = Counter(reason for reasons in rejections.values() for reason in reasons)
    texts = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{total} nodes are available: {', '.join(texts)}."


def score(pod: Object, node: NodeState) -> float:
    """Least allocated (0–100) plus preferred node affinity, minus taints that ask to stay away."""
    wish = requests_of(pod)
    parts = []
    for name in _SCORED:
        whole = node.allocatable.get(name, Decimal(0))
        if whole > 0:
            left = whole - node.used.get(name, Decimal(0)) - wish.get(name, Decimal(0))
            parts.append(float(max(left, Decimal(0)) / whole) * 100)
    points = sum(parts) / len(parts) if parts else 0.0
    affinity = (pod.get("spec", {}).get("affinity") or {}).get("nodeAffinity") or {}
    for entry in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []:
        if matches_term(entry.get("preference") or {}, node.name, node.labels):
            points += float(entry.get("weight", 0))
    for taint in node.taints:
        if taint.get("effect") == "PreferNoSchedule" and not tolerates(tolerations_of(pod), taint):
            points -= 100.0
    return points
