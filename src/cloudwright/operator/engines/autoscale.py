"""How many pods the load on a MicroService asks for (pure).

Windows, rates and bounds are those of HorizontalPodAutoscalers (``scaling``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from cloudwright.model import durations, quantities
from cloudwright.operator.engines.scaling import (
    DOWN,
    DOWN_SECONDS,
    UP,
    Advice,
    Behavior,
    History,
    Rules,
    settle,
)


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured of all pods together; ``None``: not known."""

    requests_per_second: float | None = None
    cpu_cores: float | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """The decision: how many pods, what was recommended before windows, and why."""

    replicas: int
    advice: Advice
    message: str


def size(
    spec: Mapping[str, Any],
    current: int,
    load: Load,
    history: Sequence[Advice],
    now: datetime,
) -> Size:
    """How many pods a MicroService with ``spec.autoscaling`` should have."""
    wish = spec["autoscaling"]
    bounds = int(wish.get("minReplicas") or 1), int(wish["maxReplicas"])
    behavior = _behavior(wish)
    raw, message = _recommend(behavior, current, _ratios(spec, max(current, 1), load))
    least = max(raw, bounds[0])
    found = settle(behavior, bounds, current, least, History(list(history)), now)
    replicas = min(max(found.replicas, bounds[0]), bounds[1])
    return Size(replicas, Advice(now, least), message)


def _behavior(wish: Mapping[str, Any]) -> Behavior:
    down = _window(wish.get("scaleDownStabilization"), DOWN_SECONDS)
    up = _window(wish.get("scaleUpStabilization"), 0.0)
    return Behavior(Rules(up, UP.policies), Rules(down, DOWN.policies))


def longest_window(spec: Mapping[str, Any]) -> float:
    """Seconds of history that matter."""
    return _behavior(spec["autoscaling"]).longest_window


def _window(text: object, default: float) -> float:
    return default if text is None else durations.parse(str(text))


def _ratios(spec: Mapping[str, Any], current: int, load: Load) -> list[tuple[str, float | None]]:
    """Load over target for each wished measure, with its words; ``None``: not measured."""
    wish = spec["autoscaling"]
    found: list[tuple[str, float | None]] = []
    if wish.get("requestsPerSecond") is not None:
        target, now = float(wish["requestsPerSecond"]), load.requests_per_second
        if now is None:
            found.append(("requests per second are not known", None))
        else:
            text = f"{now / current:.3g} of {target:g} requests per second and pod"
            found.append((text, now / (target * current)))
    if wish.get("cpu") is not None:
        share = float(wish["cpu"])
        request = float(quantities.parse(spec["resources"]["requests"]["cpu"]))
        if load.cpu_cores is None:
            found.append(("use of CPU is not known", None))
        else:
            used = load.cpu_cores / current / request * 100
            found.append((f"{used:.3g} of {share:g} per cent of CPU per pod", used / share))
    return found


def _recommend(
    behavior: Behavior, current: int, ratios: Sequence[tuple[str, float | None]]
) -> tuple[int, str]:
    """The largest recommendation. While a measure is missing there are never fewer pods."""
    message = "; ".join(text for text, _ in ratios)
    known = [ratio for _, ratio in ratios if ratio is not None]
    if not known or current == 0:
        return max(current, 1), message
    highest = max(known)
    if behavior.tolerates(highest):
        return current, message
    wanted = ceil(current * highest - 1e-9)
    if len(known) < len(ratios):
        wanted = max(wanted, current)
    return wanted, message
