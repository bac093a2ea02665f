"""What the controllers measure about themselves (Prometheus), under the names that
controller-runtime and client-go use, so that their dashboards and alerts fit.

Source: controller-runtime ``pkg/internal/controller/metrics`` and ``pkg/internal/metrics``.
"""

from __future__ import annotations

from functools import lru_cache
from time import monotonic

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_QUEUE_BUCKETS = (1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 60, 600)
RESULTS = ("success", "error", "requeue", "requeue_after")


class Vitals:
    """Counters of one manager; give it a registry of your own to run several."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        queue, controller = ["name", "controller"], ["controller"]
        self.reconciles = Counter(
            "controller_runtime_reconcile",
            "Reconciliations per controller and result.",
            ["controller", "result"],
            registry=self.registry,
        )
        self.errors = Counter(
            "controller_runtime_reconcile_errors",
            "Failed reconciliations.",
            controller,
            registry=self.registry,
        )
        self.seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Time per reconciliation.",
            controller,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.most = Gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Objects that may be worked on at once.",
            controller,
            registry=self.registry,
        )
        self.active = Gauge(
            "controller_runtime_active_workers",
            "Objects that are worked on.",
            controller,
            registry=self.registry,
        )
        self.depth = Gauge(
            "workqueue_depth", "Keys that are due and wait.", queue, registry=self.registry
        )
        self.adds = Counter(
            "workqueue_adds", "Keys that were added.", queue, registry=self.registry
        )
        self.retries = Counter(
            "workqueue_retries", "Keys that failed and wait.", queue, registry=self.registry
        )
        self.waited = Histogram(
            "workqueue_queue_duration_seconds",
            "Time that a key waits before it is worked on.",
            queue,
            buckets=_QUEUE_BUCKETS,
            registry=self.registry,
        )
        self.worked = Histogram(
            "workqueue_work_duration_seconds",
            "Time that a key is worked on.",
            queue,
            buckets=_QUEUE_BUCKETS,
            registry=self.registry,
        )
        self.leading = Gauge(
            "leader_election_master_status",
            "Whether this one leads (1).",
            ["name"],
            registry=self.registry,
        )
        self.writes = Counter(
            "cloudwright_operator_writes",
            "Writes to the API, by controller, verb and kind.",
            ["controller", "verb", "kind"],
            registry=self.registry,
        )

    def of(self, controller: str, concurrency: int) -> ControllerVitals:
        """What one controller writes to."""
        self.most.labels(controller).set(concurrency)
        return ControllerVitals(self, controller)


class ControllerVitals:
    """One controller's counters: the labels are looked up once."""

    def __init__(self, vitals: Vitals, controller: str) -> None:
        self._results = {r: vitals.reconciles.labels(controller, r) for r in RESULTS}
        self._errors = vitals.errors.labels(controller)
        self._seconds = vitals.seconds.labels(controller)
        self._active = vitals.active.labels(controller)
        names = (controller, controller)
        self._depth = vitals.depth.labels(*names)
        self._adds = vitals.adds.labels(*names)
        self._retries = vitals.retries.labels(*names)
        self._waited = vitals.waited.labels(*names)
        self._worked = vitals.worked.labels(*names)
        self._since: dict[str, float] = {}

    def added(self, key: str, depth: int) -> None:
        """A key became due."""
        self._adds.inc()
        self._depth.set(depth)
        self._since.setdefault(key, monotonic())

    def begun(self, key: str, depth: int) -> float:
        """Work on a key begins; returns the moment, for ``ended``."""
        now = monotonic()
        self._depth.set(depth)
        self._active.inc()
        self._waited.observe(now - self._since.pop(key, now))
        return now

    def ended(self, result: str, begun: float) -> None:
        """Work on a key ended with one of ``RESULTS``."""
        spent = monotonic() - begun
        self._active.dec()
        self._results[result].inc()
        self._seconds.observe(spent)
        self._worked.observe(spent)
        if result == "error":
            self._errors.inc()
            self._retries.inc()


@lru_cache(maxsize=1)
def shared() -> Vitals:
    """The vitals in the process's own registry: they exist once, however often ``run`` starts."""
    return Vitals(REGISTRY)
