"""What the API measures about itself (Prometheus): requests by verb, and the store's work."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from cloudwright.apiserver.store.interface import Statistics

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)


class Vitals:
    """Metrics of one core; ``registry`` is what ``/metrics`` shows."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._requests = Counter(
            "cloudwright_apiserver_requests",
            "Requests answered, by verb, resource and status code.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cloudwright_apiserver_request_seconds",
            "How long an answer took (a watch: until its stream began), by verb.",
            ["verb"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # Looking a label set up by name costs more than counting.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def answered(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one answer."""
        key = (verb, resource, code)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(verb, resource, str(code))
        counter.inc()
        histogram = self._histograms.get(verb)
        if histogram is None:
            histogram = self._histograms[verb] = self._seconds.labels(verb)
        histogram.observe(seconds)

    def watch_store(self, statistics: Statistics) -> None:
        """Show the store's numbers, too."""
        self.registry.register(_StoreCollector(statistics))


class _StoreCollector:
    """Reads the store's numbers when asked."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """One metric for each number."""
        found = self._statistics
        prefix = "cloudwright_apiserver_store"
        for name, text, value in (
            ("writes", "Transactions committed.", found.writes),
            ("commits", "Commits, each of one group of transactions.", found.commits),
            ("failures", "Commits that failed.", found.failures),
            ("commit_seconds", "Time spent waiting for the disk.", found.commit_seconds),
            ("slow_watchers", "Watches ended because they did not keep up.", found.slow_watchers),
        ):
            yield CounterMetricFamily(f"{prefix}_{name}", text, value=value)
        for name, text, value in (
            ("revision", "The newest revision.", found.revision),
            ("compacted_revision", "The oldest revision that can be read.", found.compacted),
            ("watchers", "Watches that are open.", found.watchers),
        ):
            yield GaugeMetricFamily(f"{prefix}_{name}", text, value=value)
