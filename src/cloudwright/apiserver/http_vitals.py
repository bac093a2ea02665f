"""What the HTTP face measures, beside the core's numbers in the same registry (``/metrics``)."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cloudwright.client.transport import Reply

Names = tuple[str, str, str, str, str]
"""verb, group, version, resource, subresource: what requests are counted by."""
_LABELS = ("verb", "group", "version", "resource", "subresource")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class HttpVitals:
    """Counters of one server; names as kube-apiserver has them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "apiserver_request_total",
            "Requests by verb, resource and code.",
            (*_LABELS, "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "apiserver_request_duration_seconds",
            "How long requests took, without watches and streams.",
            ("verb", "group", "resource"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._running = Gauge(
            "apiserver_current_inflight_requests",
            "Requests being served, without watches and streams.",
            registry=registry,
        )
        self._streams = Gauge(
            "apiserver_longrunning_requests",
            "Watches, followed logs and interactive streams that are open.",
            _LABELS,
            registry=registry,
        )
        # Looking a label set up by name costs more than counting.
        self._counters: dict[tuple[Names, int], Counter] = {}
        self._histograms: dict[tuple[str, str, str], Histogram] = {}

    def begin(self) -> None:
        """A request came."""
        self._running.inc()

    def end(self, names: Names, code: int, seconds: float) -> None:
        """A request was answered."""
        self._running.dec()
        self._count(names, code)
        key = (names[0], names[1], names[3])
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = self._seconds.labels(*key)
        histogram.observe(seconds)

    def stream_begins(self, names: Names, code: int) -> None:
        """A request turned into a stream."""
        self._running.dec()
        self._count(names, code)
        self._streams.labels(*names).inc()

    def stream_ends(self, names: Names) -> None:
        """A stream ended."""
        self._streams.labels(*names).dec()

    def answer(self) -> Reply:
        """All metrics as text."""
        return Reply(200, {"content-type": CONTENT_TYPE_LATEST}, generate_latest(self._registry))

    def _count(self, names: Names, code: int) -> None:
        counter = self._counters.get((names, code))
        if counter is None:
            counter = self._counters[names, code] = self._requests.labels(*names, str(code))
        counter.inc()
