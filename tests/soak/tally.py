"""What became of every request, and why an error may be one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

GRACE_SECONDS = 2.0
"""A request that was under way when a backend died may end in an error so much later."""
EXAMPLES = 20


@dataclass(slots=True)
class Outage:
    """A backend that was gone from ``begun`` to ``ended`` (seconds of the run)."""

    name: str
    begun: float
    ended: float | None = None

    def covers(self, begun: float, ended: float) -> bool:
        """Whether a request of that time could have met it."""
        mine = float("inf") if self.ended is None else self.ended + GRACE_SECONDS
        return begun <= mine and ended >= self.begun


@dataclass(slots=True)
class Failure:
    """A request that did not get its answer."""

    begun: float
    ended: float
    method: str
    what: str
    started: bool
    """Whether the head of the answer had come already: nobody can try again then."""


@dataclass
class Tally:
    """All of a run."""

    good: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    memory: list[dict[str, float]] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)

    def classify(self, failure: Failure) -> str:
        """``lost``: it met a backend's death, and trying again was not allowed or not possible.

        ``retriable``: it met one too, but a GET without an answer could have been tried elsewhere.
        ``unexplained``: no backend was gone.
        """
        if not any(one.covers(failure.begun, failure.ended) for one in self.outages):
            return "unexplained"
        return "retriable" if failure.method == "GET" and not failure.started else "lost"

    def report(self) -> dict[str, object]:
        """For people and JSON."""
        classes = Counter(self.classify(one) for one in self.failures)
        examples: dict[str, list[str]] = {}
        for one in self.failures:
            kind = examples.setdefault(self.classify(one), [])
            if len(kind) < EXAMPLES:
                kind.append(f"{one.begun:.2f}–{one.ended:.2f} s {one.method}: {one.what}")
        return {
            "good": dict(self.good),
            "failed": {kind: classes[kind] for kind in ("lost", "retriable", "unexplained")},
            "examples": examples,
            "events": dict(self.events),
            "memory MiB": self.memory_report(),
        }

    def memory_report(self) -> dict[str, dict[str, float]]:
        """First (after the warm-up), most and last of each proxy."""
        names = self.memory[0] if self.memory else {}
        return {
            name: {
                "first": round(self.memory[0][name], 2),
                "most": round(max(one[name] for one in self.memory), 2),
                "last": round(self.memory[-1][name], 2),
            }
            for name in names
        }
