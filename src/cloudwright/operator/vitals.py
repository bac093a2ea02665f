"""What the controllers measure about themselves (Prometheus)."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15)


class Vitals:
    """Counters of one manager; give it a registry of your own to run several."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.reconciles = Counter(
            "cloudwright_operator_reconciles",
            "Reconciliations that ended, by controller and outcome.",
            ["controller", "outcome"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "cloudwright_operator_reconcile_seconds",
            "How long a reconciliation took.",
            ["controller"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.depth = Gauge(
            "cloudwright_operator_queue_depth",
            "Keys that are due and wait.",
            ["controller"],
            registry=self.registry,
        )
        self.writes = Counter(
            "cloudwright_operator_writes",
            "Writes to the API, by controller, verb and kind.",
            ["controller", "verb", "kind"],
            registry=self.registry,
        )


@lru_cache(maxsize=1)
def shared() -> Vitals:
    """The vitals in the process's own registry: they exist once, however often ``run`` starts."""
    return Vitals(REGISTRY)
