"""What the node agent measures (Prometheus)."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PHASES = ("Pending", "Running", "Succeeded", "Failed")
_STARTS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Vitals:
    """The agent's metrics, in ``registry``."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._pods = Gauge(
            "cloudwright_node_pods", "Pods of this node", ["phase"], registry=self.registry
        )
        self.restarts = Counter(
            "cloudwright_node_container_restarts", "Restarts", registry=self.registry
        )
        self.errors = Counter(
            "cloudwright_node_errors",
            "Failures of a neighbour or of the API while serving a pod",
            registry=self.registry,
        )
        self.start_seconds = Histogram(
            "cloudwright_node_pod_start_seconds",
            "From the creation of a pod to its being ready",
            buckets=_STARTS,
            registry=self.registry,
        )

    def count_pods(self, phases: Iterable[str]) -> None:
        """Set the gauge of pods by phase."""
        counts = dict.fromkeys(_PHASES, 0)
        for phase in phases:
            counts[phase] = counts.get(phase, 0) + 1
        for phase, count in counts.items():
            self._pods.labels(phase).set(count)
