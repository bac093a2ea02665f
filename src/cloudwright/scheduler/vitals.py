"""What the scheduler measures about itself (Prometheus)."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class Vitals:
    """Counters of one scheduler; give it a registry of your own to run several."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.attempts = Counter(
            "cloudwright_scheduler_attempts",
            "Attempts to place a pod, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "cloudwright_scheduler_waiting_pods",
            "Pods that fit on no node at present.",
            registry=self.registry,
        )


@lru_cache(maxsize=1)
def shared() -> Vitals:
    """The vitals in the process's own registry: they exist once, however often ``run`` starts."""
    return Vitals(REGISTRY)
