"""How many requests a Service answered, how many failed, how slow they were: from two looks at the
proxies' counters (Prometheus text).

Counters are those of whoever asked (the gateway, other pods' sidecars), so that a connection that
was refused counts as well. A proxy that started again counts from zero: its whole count is new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

REQUESTS = "cloudwright_proxy_requests_total"
BUCKETS = "cloudwright_proxy_request_duration_seconds_bucket"
_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Counters = Mapping[tuple[str, str], float]
"""By ``(kind, series)``: kind is ``requests``, ``errors`` or ``le=BOUND``."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a Service answered in a while."""

    requests: float
    errors: float
    """Those answered with 5xx, or not at all."""
    latency: float | None
    """Seconds within which the asked share was answered; ``None`` without requests, infinite
    when that was longer than the longest bucket.
    """
    seconds: float
    """How long the while was."""


def counters(page: str, services: Iterable[str]) -> dict[str, dict[tuple[str, str], float]]:
    """The counters of some Services (``namespace/name``) on a page, by Service."""
    wanted: dict[str, dict[tuple[str, str], float]] = {name: {} for name in services}
    for line in page.splitlines():
        if not line.startswith((REQUESTS, BUCKETS)):
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:
            continue
        labels = dict(_LABEL.findall(match[2]))
        found = wanted.get(labels.get("service", "").rpartition(":")[0])
        if found is None or labels.get("direction") == "inbound":
            continue
        kinds = [f"le={labels['le']}"] if match[1] == BUCKETS else ["requests"]
        if kinds == ["requests"] and labels.get("code") in ("5xx", "none"):
            kinds.append("errors")
        for kind in kinds:
            found[kind, match[2]] = float(match[3])
    return wanted


def between(old: Counters, new: Counters, seconds: float, percentile: float) -> Traffic:
    """What happened from ``old`` to ``new``, ``seconds`` later; ``percentile`` is 1 to 100."""
    grown: dict[str, float] = {}
    for key, value in new.items():
        before = old.get(key, 0.0)
        kind = key[0]
        grown[kind] = grown.get(kind, 0.0) + (value - before if value >= before else value)
    buckets = {
        float(kind.removeprefix("le=")): count
        for kind, count in grown.items()
        if kind.startswith("le=")
    }
    return Traffic(
        requests=grown.get("requests", 0.0),
        errors=grown.get("errors", 0.0),
        latency=quantile(buckets, percentile),
        seconds=seconds,
    )


def quantile(buckets: Mapping[float, float], percentile: float) -> float | None:
    """The percentile of cumulative buckets by upper bound, linear inside of one (as Prometheus'
    ``histogram_quantile``, but infinite beyond the last bound).
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank = total * percentile / 100
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if bound == float("inf"):
                return bound
            inside = count - below
            return lower + (bound - lower) * ((rank - below) / inside if inside > 0 else 1.0)
        lower, below = bound, count
    return float("inf")
