"""Lengths of time as text: Go's ``1m30s`` in both directions, and kubectl's short ages."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse(text: str) -> float:
    """Seconds of ``"15s"``, ``"1m30s"``, ``"250ms"``, ``"-1.5h"``, ``"0"``.

    Raises:
        ValueError: it is not a duration; the message shows how one looks.
    """
    rest = text.removeprefix("-").removeprefix("+") if len(text) > 1 else text
    sign = -1.0 if text.startswith("-") else 1.0
    if rest == "0":
        return 0.0
    total, at = 0.0, 0
    while match := _PART.match(rest, at):
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
    if at == 0 or at != len(rest):
        raise ValueError(f'"{text}" is not a duration: write for example 15s, 1m30s or 250ms')
    return sign * total


def render(seconds: float) -> str:
    """Go's way of writing it: ``90`` → ``1m30s``, ``0.25`` → ``250ms``, ``0`` → ``0s``."""
    if seconds < 0:
        return f"-{render(-seconds)}"
    millis = round(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    minutes, millis = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, fraction = divmod(millis, 1000)
    tail = f"{whole}.{fraction:03}".rstrip("0").rstrip(".") if fraction else str(whole)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{tail}s"


def age(seconds: float) -> str:
    """How long ago, in at most two units, as kubectl's AGE column has it: ``3d4h``, ``2m10s``."""
    whole = int(seconds)
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return _two(years, "y", rest, "d") if years < 8 else f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
