"""What the core measures about itself (Prometheus): the work of the store. The face adds to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from cloudwright.apiserver.store.interface import Store

if TYPE_CHECKING:  # imported when the metrics are first asked for: a start has no time for it
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

_PREFIX = "cloudwright_apiserver_store"


class Source(Protocol):
    """A ``prometheus_client`` collector."""

    def collect(self) -> Iterator[Metric]:
        """One metric for each number."""


class Vitals:
    """Metrics of one core; ``registry`` is what ``/metrics`` shows."""

    def __init__(self, store: Store) -> None:
        self._sources: list[Source] = [StoreCollector(store)]

    def add(self, source: Source) -> None:
        """Show its numbers too. Before the metrics were first asked for."""
        self._sources.append(source)

    @cached_property
    def registry(self) -> CollectorRegistry:
        """All sources, and numbers of the process."""
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

        registry = CollectorRegistry()
        for source in self._sources:
            registry.register(source)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry


class StoreCollector:
    """Reads the numbers of one store when it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """One metric for each number."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found = self._store.statistics
        for name, text, value in (
            ("writes", "Transactions committed.", found.writes),
            ("commits", "Commits, each of one group of transactions.", found.commits),
            ("failures", "Commits that failed.", found.failures),
            ("commit_seconds", "Time spent waiting for the disk.", found.commit_seconds),
            ("slow_watchers", "Watches ended because they did not keep up.", found.slow_watchers),
            ("damages", "Reads that found something else than was written.", found.damages),
        ):
            yield CounterMetricFamily(f"{_PREFIX}_{name}", text, value=value)
        for name, text, value in (
            ("revision", "The newest revision.", found.revision),
            ("compacted_revision", "The oldest revision that can be read.", found.compacted),
            ("watchers", "Watches that are open.", found.watchers),
            ("keys", "Keys that exist.", found.keys),
            ("live_bytes", "What the newest values take.", found.live_bytes),
            ("history_bytes", "What kept older values take.", found.history_bytes),
            ("file_bytes", "Size of the database file.", found.file_bytes),
            ("wal_bytes", "Size of the write-ahead log.", found.wal_bytes),
            ("problems", "What the last whole check of the file found.", found.problems),
        ):
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
