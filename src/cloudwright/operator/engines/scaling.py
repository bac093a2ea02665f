"""From what metrics ask for to what is done: windows, rates and bounds. Pure.

One rule for HorizontalPodAutoscalers and for MicroServices.

Source: kubernetes ``pkg/controller/podautoscaler/horizontal.go`` (``normalizeDesiredReplicas``,
``normalizeDesiredReplicasWithBehaviors``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from cloudwright.model.quantities import parse

TOLERANCE = 0.1
DOWN_SECONDS = 300.0
_FACTOR, _LEAST = 2, 4
"""Without a behavior: at most doubled at once, or to four."""
_PERIOD = 1800.0
"""Policies look back at most so long."""
WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")


@dataclass(frozen=True, slots=True)
class Advice:
    """What the metrics asked for at a moment; windows look back over them."""

    at: datetime
    replicas: int


@dataclass(slots=True)
class History:
    """What is remembered: what was asked for, and what was done (``(when, by how many)``)."""

    advice: list[Advice] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)

    def begin(self, now: datetime, replicas: int) -> None:
        """Who has just begun takes the present number for advice: a restart removes no pods."""
        if not self.advice:
            self.advice.append(Advice(now, replicas))

    def scaled(self, now: datetime, by: int) -> None:
        """Remember a change for the policies; forget those that none looks back to."""
        since = now - timedelta(seconds=_PERIOD)
        self.changes = [one for one in self.changes if one[0] >= since] + [(now, by)]


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of a behavior."""

    window: float
    """Seconds of recommendations that count."""
    policies: Sequence[Mapping[str, Any]]
    select: str = "Max"
    tolerance: float = TOLERANCE


_PERCENT: Mapping[str, Any] = {"type": "Percent", "value": 100, "periodSeconds": 15}
_PODS: Mapping[str, Any] = {"type": "Pods", "value": 4, "periodSeconds": 15}
UP = Rules(0.0, (_PODS, _PERCENT))
DOWN = Rules(DOWN_SECONDS, (_PERCENT,))


@dataclass(frozen=True, slots=True)
class Behavior:
    """How fast to scale. ``rates`` false: ``spec.behavior`` is absent, the old limits hold."""

    up: Rules = UP
    down: Rules = DOWN
    rates: bool = True

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Behavior:
        """That of a HorizontalPodAutoscaler's spec."""
        given = spec.get("behavior")
        if given is None:
            return cls(rates=False)
        return cls(_rules(given.get("scaleUp"), UP), _rules(given.get("scaleDown"), DOWN))

    def tolerates(self, ratio: float) -> bool:
        """Whether use over target is too near to 1 to do anything."""
        return 1.0 - self.down.tolerance <= ratio <= 1.0 + self.up.tolerance

    @property
    def longest_window(self) -> float:
        """Seconds of recommendations that any rule looks back to."""
        return max(self.up.window, self.down.window)


def _rules(given: Mapping[str, Any] | None, usual: Rules) -> Rules:
    if given is None:
        return usual
    window, tolerance = given.get("stabilizationWindowSeconds"), given.get("tolerance")
    return Rules(
        usual.window if window is None else float(window),
        given.get("policies") or usual.policies,
        str(given.get("selectPolicy") or usual.select),
        usual.tolerance if tolerance is None else float(parse(tolerance)),
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """The number to have; conditions ``AbleToScale`` and ``ScalingLimited`` that say why."""

    replicas: int
    able: tuple[str, str]
    limited: bool
    limit: tuple[str, str]


def settle(
    behavior: Behavior, bounds: tuple[int, int], current: int, asked: int, history: History,
    now: datetime,
) -> Settled:  # fmt: skip
    """``asked`` within windows, rates and ``bounds`` (least, most); it is added to the history."""
    calm = _stabilized(behavior, current, asked, history, now)
    keep = now - timedelta(seconds=behavior.longest_window)
    history.advice = [one for one in history.advice if one.at >= keep] + [Advice(now, asked)]
    able = ("ReadyForNewScale", "recommended size matches current size")
    if calm != asked:
        up = behavior.rates and asked >= current
        word, side = ("lowest", "lower") if up else ("highest", "higher")
        text = f"recent recommendations were {side} than current one, applying the {word} recent"
        reason = "ScaleUpStabilized" if up else "ScaleDownStabilized"
        able = (reason, f"{text} recommendation")
    limit = _rated if behavior.rates else _doubled
    replicas, why = limit(behavior, bounds, current, calm, history, now)
    return Settled(replicas, able, replicas != calm, why)


def _stabilized(
    behavior: Behavior, current: int, asked: int, history: History, now: datetime
) -> int:
    def recent(window: float) -> list[int]:
        since = now - timedelta(seconds=window)
        return [asked, *(one.replicas for one in history.advice if one.at > since)]

    floor = max(recent(behavior.down.window))
    if not behavior.rates:
        return floor
    return min(max(current, min(recent(behavior.up.window))), floor)


_Limited = tuple[int, tuple[str, str]]


def _doubled(
    _: Behavior, bounds: tuple[int, int], current: int, calm: int, __: History, ___: datetime
) -> _Limited:
    least, most = bounds
    fence = max(_FACTOR * current, _LEAST)
    if calm < least:
        return least, _few()
    if calm > min(most, fence):
        return (fence, _fast("increasing")) if most > fence else (most, _many())
    return calm, WITHIN


def _rated(
    behavior: Behavior, bounds: tuple[int, int], current: int, calm: int, history: History,
    now: datetime,
) -> _Limited:  # fmt: skip
    least, most = bounds
    if calm > current:
        fence = max(_reach(behavior.up, current, history, now, grow=True), current)
        if calm > min(most, fence):
            return (fence, _fast("increasing")) if most > fence else (most, _many())
    elif calm < current:
        fence = min(_reach(behavior.down, current, history, now, grow=False), current)
        if calm < max(least, fence):
            return (fence, _fast("decreasing")) if least < fence else (least, _few())
    return calm, WITHIN


def _fast(word: str) -> tuple[str, str]:
    reason = "ScaleUpLimit" if word == "increasing" else "ScaleDownLimit"
    return reason, f"the desired replica count is {word} faster than the maximum scale rate"


def _many() -> tuple[str, str]:
    return "TooManyReplicas", "the desired replica count is more than the maximum replica count"


def _few() -> tuple[str, str]:
    return "TooFewReplicas", "the desired replica count is less than the minimum replica count"


def _reach(rules: Rules, current: int, history: History, now: datetime, *, grow: bool) -> int:
    """How far one step may go, by policies over their periods."""
    if rules.select == "Disabled":
        return current
    found = []
    for policy in rules.policies:
        since = now - timedelta(seconds=int(policy["periodSeconds"]))
        start = current - sum(by for at, by in history.changes if at > since)
        value = int(policy["value"])
        if policy["type"] == "Pods":
            found.append(start + value if grow else start - value)
        elif grow:
            found.append(ceil(start * (1 + value / 100)))
        else:
            found.append(int(start * (1 - value / 100)))
    widest = rules.select != "Min"
    return max(found) if grow == widest else min(found)
