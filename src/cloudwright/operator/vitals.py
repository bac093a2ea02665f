"""What the controllers measure about themselves (Prometheus), under the names that
controller-runtime and client-go use, so that their dashboards and alerts fit.

A reconciliation only adds to plain numbers; families are made of them when somebody looks.
Source: controller-runtime ``pkg/internal/controller/metrics`` and ``pkg/internal/metrics``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from time import monotonic

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_QUEUE_BUCKETS = (1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0)
RESULTS = ("success", "error", "requeue", "requeue_after")
_BOTH, _ONE = ("name", "controller"), ("controller",)


class _Histogram:
    """Counts by upper bound, the last one without bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus has them."""
        names = [*(str(bound) for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class ControllerVitals:
    """One controller's numbers."""

    def __init__(self, controller: str, concurrency: int, depth: Callable[[], int]) -> None:
        self.controller = controller
        self.concurrency = concurrency
        self.depth = depth
        self.adds = self.active = 0
        self.results = dict.fromkeys(RESULTS, 0)
        self.waited = _Histogram(_QUEUE_BUCKETS)
        self.worked = _Histogram(_QUEUE_BUCKETS)
        self.seconds = _Histogram(_BUCKETS)
        self._since: dict[str, float] = {}

    def added(self, key: str) -> None:
        """A key became due."""
        self.adds += 1
        if key not in self._since:
            self._since[key] = monotonic()

    def begun(self, key: str) -> float:
        """Work on a key begins; returns the moment, for ``ended``."""
        now = monotonic()
        self.active += 1
        self.waited.observe(now - self._since.pop(key, now))
        return now

    def ended(self, result: str, begun: float) -> None:
        """Work on a key ended with one of ``RESULTS``."""
        spent = monotonic() - begun
        self.active -= 1
        self.results[result] += 1
        self.seconds.observe(spent)
        self.worked.observe(spent)


class Vitals:
    """Numbers of one manager; give it a registry of your own to run several."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._controllers: dict[str, ControllerVitals] = {}
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
        self.registry.register(_Collector(self._controllers))

    def of(self, controller: str, concurrency: int, depth: Callable[[], int]) -> ControllerVitals:
        """What one controller counts in; ``depth`` is asked for how many keys wait."""
        made = self._controllers[controller] = ControllerVitals(controller, concurrency, depth)
        return made


class _Collector:
    """Prometheus' view of the controllers."""

    def __init__(self, controllers: dict[str, ControllerVitals]) -> None:
        self._controllers = controllers

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before a controller runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, now."""
        every = list(self._controllers.values())
        yield from _reconciles(every)
        yield from _queues(every)


def _reconciles(every: list[ControllerVitals]) -> Iterator[Metric]:
    total = CounterMetricFamily(
        "controller_runtime_reconcile",
        "Reconciliations per controller and result.",
        labels=("controller", "result"),
    )
    errors = CounterMetricFamily(
        "controller_runtime_reconcile_errors", "Failed reconciliations.", labels=_ONE
    )
    seconds = HistogramMetricFamily(
        "controller_runtime_reconcile_time_seconds", "Time per reconciliation.", labels=_ONE
    )
    most = GaugeMetricFamily(
        "controller_runtime_max_concurrent_reconciles",
        "Objects that may be worked on at once.",
        labels=_ONE,
    )
    active = GaugeMetricFamily(
        "controller_runtime_active_workers", "Objects that are worked on.", labels=_ONE
    )
    for one in every:
        labels = (one.controller,)
        for result, count in one.results.items():
            total.add_metric((one.controller, result), count)
        errors.add_metric(labels, one.results["error"])
        seconds.add_metric(labels, one.seconds.buckets(), one.seconds.total)
        most.add_metric(labels, one.concurrency)
        active.add_metric(labels, one.active)
    yield from (total, errors, seconds, most, active)


def _queues(every: list[ControllerVitals]) -> Iterator[Metric]:
    depth = GaugeMetricFamily("workqueue_depth", "Keys that are due and wait.", labels=_BOTH)
    adds = CounterMetricFamily("workqueue_adds", "Keys that were added.", labels=_BOTH)
    retries = CounterMetricFamily("workqueue_retries", "Keys that failed.", labels=_BOTH)
    waited = HistogramMetricFamily(
        "workqueue_queue_duration_seconds", "Time that a key waits.", labels=_BOTH
    )
    worked = HistogramMetricFamily(
        "workqueue_work_duration_seconds", "Time that a key is worked on.", labels=_BOTH
    )
    for one in every:
        labels = (one.controller, one.controller)
        depth.add_metric(labels, one.depth())
        adds.add_metric(labels, one.adds)
        retries.add_metric(labels, one.results["error"] + one.results["requeue"])
        waited.add_metric(labels, one.waited.buckets(), one.waited.total)
        worked.add_metric(labels, one.worked.buckets(), one.worked.total)
    yield from (depth, adds, retries, waited, worked)


@lru_cache(maxsize=1)
def shared() -> Vitals:
    """The vitals in the process's own registry: they exist once, however often ``run`` starts."""
    return Vitals(REGISTRY)
