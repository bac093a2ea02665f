"""What the HTTP face measures, beside the core's numbers in the same registry (``/metrics``).

The native server counts; names and labels are kube-apiserver's where it has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cloudwright.apiserver.vitals import Vitals
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Counts = Callable[[], dict[str, Any]]
"""``FaceServer.counts``."""
_WHAT = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")
_Labels = tuple[str, str, str, str, str, str, bool]
_OWN = "cloudwright_apiserver"


class HttpVitals:
    """``/metrics`` of one server."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._collector = _HttpCollector()
        vitals.add(self._collector)

    def read(self, counts: Counts) -> None:
        """Show the numbers of this server from now on."""
        self._collector.counts = counts

    def answer(self) -> Reply:
        """All metrics as text."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        text = generate_latest(self._vitals.registry)
        return Reply(200, {"content-type": CONTENT_TYPE_LATEST}, text)


class _HttpCollector:
    counts: Counts | None = None

    def collect(self) -> Iterator[Metric]:
        """One family for each number of the server."""
        if self.counts is None:
            return
        found = self.counts()
        yield from _requests(found)
        yield from _now(found)
        yield from _own(found)


def _what(labels: _Labels) -> list[str]:
    verb, group, version, resource, subresource, scope, dry_run = labels
    dry = "All" if dry_run else ""
    return ["apiserver", dry, group, resource, scope, subresource, verb, version]


def _requests(found: dict[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    total = CounterMetricFamily(
        "apiserver_request", "Requests by what they are about and code.", labels=(*_WHAT, "code")
    )
    seconds = HistogramMetricFamily(
        "apiserver_request_duration_seconds",
        "How long requests took, without watches and streams.",
        labels=_WHAT,
    )
    codes: dict[tuple[str, ...], int] = {}
    times: dict[tuple[str, ...], tuple[list[int], float]] = {}
    for labels, counted, buckets, took in found["requests"]:
        what = tuple(_what(labels))
        for code, number in counted:
            key = (*what, str(code))
            codes[key] = codes.get(key, 0) + number
        known, before = times.get(what, ([0] * len(buckets), 0.0))
        added = [old + new for old, new in zip(known, buckets, strict=True)]
        times[what] = (added, before + took)
    for key, number in codes.items():
        total.add_metric(key, number)
    bounds = [*(str(bound) for bound in found["bounds"]), "+Inf"]
    for key, (buckets, took) in times.items():
        if any(buckets):
            pairs = list(zip(bounds, map(float, accumulate(buckets)), strict=True))
            seconds.add_metric(key, buckets=pairs, sum_value=took)
    yield total
    yield seconds


def _now(found: dict[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    inflight = GaugeMetricFamily(
        "apiserver_current_inflight_requests",
        "Requests being served, without watches and streams.",
        labels=("request_kind",),
    )
    reading, mutating = found["inflight"]
    inflight.add_metric(("readOnly",), reading)
    inflight.add_metric(("mutating",), mutating)
    yield inflight
    names = tuple(name for name in _WHAT if name != "dry_run")
    running = GaugeMetricFamily(
        "apiserver_longrunning_requests",
        "Watches, followed logs and interactive streams that are open.",
        labels=names,
    )
    opened: dict[tuple[str, ...], int] = {}
    for labels, number in found["running"]:
        component, _, *rest = _what(labels)
        key = (component, *rest)
        opened[key] = opened.get(key, 0) + number
    for key, number in opened.items():
        running.add_metric(key, number)
    yield running


def _own(found: dict[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    objects, size = found["state"]
    for name, text, value in (
        ("connections", "Connections that are open.", found["connections"]),
        ("memory_objects", "Objects kept in memory for reads.", objects),
        ("memory_object_bytes", "What they take.", size),
    ):
        yield GaugeMetricFamily(f"{_OWN}_{name}", text, value=value)
    for name, text, value in (
        ("accepted_connections", "Connections that came.", found["connections_total"]),
        ("memory_reads", "Reads answered from memory.", found["direct"]),
        ("slow_watches", "Watches ended because they did not keep up.", found["slow_watchers"]),
    ):
        yield CounterMetricFamily(f"{_OWN}_{name}", text, value=value)
