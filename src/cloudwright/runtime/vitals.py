"""Metrics of the runtime, in the process's Prometheus registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from prometheus_client import Counter, Histogram

STEP_SECONDS = Histogram(
    "cloudwright_runtime_step_seconds",
    "Time to create or start a container.",
    ["step"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0),
)
FAILURES = Counter("cloudwright_runtime_failures", "Steps that failed.", ["step"])


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Count how long a step took, or that it failed."""
    started = monotonic()
    try:
        yield
    except Exception:
        FAILURES.labels(step).inc()
        raise
    STEP_SECONDS.labels(step).observe(monotonic() - started)
