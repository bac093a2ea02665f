"""Figures by row and side, their ratios, and the table that is printed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

REAL, OURS = "real", "ours"
# What issue 4 asks for: (must, aim) as a ratio ours / theirs; the second letter says which way.
GOALS: dict[str, tuple[str, float, float]] = {
    "ready, empty": ("≤", 0.25, 0.1),
    "ready, objects": ("≤", 0.25, 0.1),
    "idle, Rss": ("≤", 0.33, 0.2),
    "idle, Pss": ("≤", 0.33, 0.2),
    "idle, whole, Rss": ("≤", 0.25, 0.15),
    "idle, whole, Pss": ("≤", 0.25, 0.15),
    "objects and watches, Rss": ("≤", 0.33, 0.2),
    "objects and watches, Pss": ("≤", 0.33, 0.2),
    "create, 1 client, /s": ("≥", 1.5, 2.5),
    "create, 32 clients, /s": ("≥", 3, 5),
    "create, 1 client, P99 ms": ("≤", 1, 0.5),
    "create, 32 clients, P99 ms": ("≤", 1, 0.5),
    "create (kine), 32 clients, /s": ("≥", 3, 6),
    "get, 32 clients, /s": ("≥", 4, 6),
    "list, P50 ms": ("≤", 0.5, 0.25),
    "list, server CPU ms": ("≤", 0.5, 0.25),
    "write → event, 1 watchers, P50 ms": ("≤", 0.6, 0.45),
    "write → event, 1000 watchers, P50 ms": ("≤", 0.6, 0.45),
    "patch → pod template, P50 ms": ("≤", 1, 0.5),
    "reconciles/s, trivial": ("≥", 0.5, 1),
}


@dataclass(slots=True)
class Figures:
    """Every number that was measured: row → side → one number a round."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: str, side: str, value: float) -> None:
        """One more number; ``kine`` counts as theirs."""
        name = OURS if side == OURS else REAL
        self.rows.setdefault(row, {REAL: [], OURS: []})[name].append(value)

    def ratio(self, row: str) -> float | None:
        """The median of ours / theirs by round."""
        sides = self.rows[row]
        pairs = list(zip(sides[OURS], sides[REAL], strict=False))
        if not pairs:
            return None
        return statistics.median(ours / real for ours, real in pairs if real)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {row: {**sides, "ratio": self.ratio(row)} for row, sides in self.rows.items()}


def verdict(row: str, ratio: float | None) -> str:
    """What was asked, and whether the ratio keeps it."""
    goal = GOALS.get(row)
    if goal is None or ratio is None:
        return ""
    sign, must, aim = goal
    kept = (lambda limit: ratio <= limit) if sign == "≤" else (lambda limit: ratio >= limit)
    word = "aim" if kept(aim) else "must" if kept(must) else "MISSED"
    return f"{sign} {must:g} (aim {aim:g}): {word}"


def table(figures: Figures) -> str:
    """Every row: medians of both, their ratio, what was asked."""
    lines = [f"{'':44} {'theirs':>10} {'ours':>10} {'ratio':>7}"]
    for row, sides in figures.rows.items():
        real, ours = (
            f"{statistics.median(sides[side]):10,.2f}" if sides[side] else f"{'–':>10}"
            for side in (REAL, OURS)
        )
        ratio = figures.ratio(row)
        text = f"{ratio:7.2f}" if ratio is not None else f"{'–':>7}"
        lines.append(f"{row:44} {real} {ours} {text}  {verdict(row, ratio)}".rstrip())
    return "\n".join(lines)
