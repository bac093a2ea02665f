"""What issue 5 asks of each row: against a peer, or as a number of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """Ours ≤ ``must`` × the figure of ``against``, or ≤ ``must`` itself when that is empty."""

    against: str
    must: float | None
    aim: float | None = None

    def __str__(self) -> str:
        times = f" × {self.against}" if self.against else ""
        parts = [f"must ≤ {self.must:g}{times}"] if self.must is not None else []
        parts += [f"aim ≤ {self.aim:g}{times}"] if self.aim is not None else []
        return ", ".join(parts)

    def verdict(self, value: float) -> str:
        """``aim met``, ``met`` or ``missed`` for a ratio (or the figure itself)."""
        if self.aim is not None and value <= self.aim:
            return "aim met"
        if self.must is None:
            return "aim missed"
        return "met" if value <= self.must else "MISSED"


H2 = (
    Goal("nginx", 0.65),
    Goal("envoy", 0.45),
    Goal("go", 0.12),
    Goal("haproxy", None, 1.0),
)
GOALS: dict[str, tuple[Goal, ...]] = {
    "idle, RSS MB": (Goal("", 6, 5), Goal("envoy", 0.1), Goal("go", 0.8)),
    "exec → first 200, ms": (Goal("", 8), Goal("go", 1.0, 0.5), Goal("envoy", 0.1)),
    "HTTP/1.1, CPU µs/request": (
        Goal("haproxy", 1.0),
        Goal("envoy", 0.4),
        Goal("go", 0.2),
        Goal("nginx", None, 0.8),
    ),
    "HTTP/2, CPU µs/request": H2,
    "gRPC, CPU µs/request": H2,
    "gRPC → mTLS, CPU µs/request": (Goal("haproxy", 0.8, 0.65), Goal("envoy", 0.35)),
    "idle connection, KB": (Goal("", 4, 1.1),),
    "10,000 streams, PSS MB": (Goal("", 70, 40),),
    "5 s after 10,000 streams, × before": (Goal("", 1.5, 1.2),),
    "added P99 at half of nginx's maximum, µs": (Goal("nginx", 1.0, 0.8),),
    "10,000 routes + 100,000 endpoints, PSS MB": (Goal("", 60, 30),),
    "10,000 routes + 100,000 endpoints, full update ms": (Goal("", 500),),
    "10,000 routes + 100,000 endpoints, one endpoint ms": (Goal("", 5, 1),),
    "slowest request during updates, × P99 without": (Goal("", 2),),
    "Python filter, added P50 µs": (Goal("", 150, 60),),
    "Python filter, CPU of other requests, × without": (Goal("", 1.05),),
}
