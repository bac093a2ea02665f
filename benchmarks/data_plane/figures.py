"""Every number by row and proxy, their medians and ratios, and the table that is printed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.data_plane.goals import GOALS, Goal

OURS = "ours"
PEERS = ("nginx", "haproxy", "envoy", "go")


@dataclass(slots=True)
class Figures:
    """Row → proxy → one number a round; row → remarks."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, row: str, name: str, value: float) -> None:
        """One more number."""
        self.rows.setdefault(row, {}).setdefault(name, []).append(value)

    def note(self, row: str, text: str) -> None:
        """Say something about a row, once."""
        known = self.notes.setdefault(row, [])
        if text not in known:
            known.append(text)

    def median(self, row: str, name: str) -> float | None:
        """The median of a proxy's numbers."""
        values = self.rows.get(row, {}).get(name)
        return statistics.median(values) if values else None

    def against(self, row: str, goal: Goal) -> float | None:
        """What the goal judges: the median of the rounds' ratios, or our median."""
        if not goal.against:
            return self.median(row, OURS)
        sides = self.rows.get(row, {})
        pairs = zip(sides.get(OURS, []), sides.get(goal.against, []), strict=False)
        ratios = [ours / theirs for ours, theirs in pairs if theirs]
        return statistics.median(ratios) if ratios else None

    def verdicts(self, row: str) -> list[str]:
        """A line for each goal of a row."""
        lines = []
        for goal in GOALS.get(row, ()):
            value = self.against(row, goal)
            said = "not measured" if value is None else f"{value:.2f}: {goal.verdict(value)}"
            lines.append(f"{goal}: {said}")
        return lines

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            row: {
                "figures": sides,
                "medians": {name: self.median(row, name) for name in sides},
                "goals": self.verdicts(row),
                "notes": self.notes.get(row, []),
            }
            for row in dict.fromkeys([*self.rows, *self.notes])
            for sides in [self.rows.get(row, {})]
        }


def table(figures: Figures) -> str:
    """Medians of all, side by side; below each row what was asked and what was not measured."""
    names = [*PEERS, OURS]
    more = {name for sides in figures.rows.values() for name in sides} - set(names)
    names += sorted(more)
    lines = [f"{'':50}" + "".join(f"{name:>10}" for name in names)]
    for row in dict.fromkeys([*figures.rows, *figures.notes]):
        cells = []
        for name in names:
            value = figures.median(row, name)
            cells.append(f"{'–':>10}" if value is None else f"{value:10,.2f}")
        lines.append(f"{row:50}" + "".join(cells))
        lines += [f"    {line}" for line in figures.verdicts(row)]
        lines += [f"    ({note})" for note in figures.notes.get(row, [])]
    return "\n".join(lines)
