"""Time as a value that can be handed in, so that engines stay pure and tests can turn the hands."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day and a monotonic count of seconds."""

    def now(self) -> datetime:
        """The time of day, in UTC, with microseconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        from time import monotonic

        return monotonic()


class ManualClock:
    """A clock that moves only when it is told to."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The time of day that was set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds by which the clock was advanced."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move both hands forward."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds


def rfc3339(moment: datetime) -> str:
    """``metav1.Time``: seconds, UTC, ``2026-11-24T08:00:00Z``."""
    return _seconds(math.floor(moment.timestamp()))


@lru_cache(maxsize=256)
def _seconds(stamp: int) -> str:
    # Most callers ask about the present second.
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """``metav1.MicroTime``: microseconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """The moment that ``metav1.Time`` or ``MicroTime`` text names.

    Raises:
        ValueError: it is not RFC 3339.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


Now = Callable[[], datetime]
