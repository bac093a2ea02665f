"""Whether a new version answers well enough (pure): ``spec.rollout.analysis`` against traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cloudwright.model import durations
from cloudwright.operator.engines.traffic import Traffic

DEFAULT_INTERVAL = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``Good``, ``Bad``, or ``Open`` while there is too little to judge; and why."""

    word: Literal["Good", "Bad", "Open"]
    message: str


def judge(analysis: Mapping[str, Any], traffic: Traffic | None) -> Verdict:
    """Judge what a version answered. Bad needs as many requests as good does, so that one
    failure among three requests takes nobody back.
    """
    needed = int(analysis.get("minRequests") or 20)
    if traffic is None or traffic.requests < needed:
        seen = 0 if traffic is None else round(traffic.requests)
        return Verdict("Open", f"{seen} of the {needed} requests that a judgement needs")
    share = traffic.errors / traffic.requests * 100
    allowed = analysis.get("errorRate")
    limit = 1.0 if allowed is None else float(allowed)
    text = f"{round(traffic.errors)} of {round(traffic.requests)} requests failed ({share:.3g} %)"
    if share > limit:
        return Verdict("Bad", f"{text}, more than {limit:g} %")
    if analysis.get("latency") is None:
        return Verdict("Good", text)
    most = durations.parse(str(analysis["latency"]))
    took = traffic.latency if traffic.latency is not None else 0.0
    name = f"p{percentile(analysis):g}"
    if took > most:
        shown = "too long to measure" if took == float("inf") else f"{took * 1000:.3g} ms"
        return Verdict("Bad", f"{name} is {shown}, more than {most * 1000:g} ms")
    return Verdict("Good", f"{text}, {name} is {took * 1000:.3g} ms")


def percentile(analysis: Mapping[str, Any]) -> float:
    """``latencyPercentile``, by default 99."""
    value = analysis.get("latencyPercentile")
    return 99.0 if value is None else float(value)


def interval(analysis: Mapping[str, Any]) -> float:
    """Seconds between two looks, by default 10."""
    value = analysis.get("interval")
    return DEFAULT_INTERVAL if value is None else max(durations.parse(str(value)), 0.1)
