"""Completion indexes of a Job, written as ranges: ``0-2,5``. Pure.

Source: kubernetes ``pkg/controller/job`` (``indexed_job_utils.go``).
"""

from __future__ import annotations

from collections.abc import Collection


def numbers(text: str, completions: int | None = None) -> set[int]:
    """``0-2,5`` → 0, 1, 2, 5; those of ``completions`` and more do not count."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdigit() and (last.isdigit() or not dash):
            end = int(last if dash else first)
            end = end if completions is None else min(end, completions - 1)
            found.update(range(int(first), end + 1))
    return found


def ranges(found: Collection[int]) -> str:
    """0, 1, 2, 5 → ``0-2,5``; two neighbours stay apart: ``0,1``."""
    parts: list[str] = []
    ordered = sorted(found)
    at = 0
    while at < len(ordered):
        end = at
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        first, last = ordered[at], ordered[end]
        between = "-" if last > first + 1 else ","
        parts.append(str(first) if first == last else f"{first}{between}{last}")
        at = end + 1
    return ",".join(parts)
