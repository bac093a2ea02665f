"""Whether and when an ended container starts again (upstream's restart policy and back-off).

Pure. The first restart is immediate; the second waits ``base``, then twice as long each time up to
``maximum``; a container that ran for ``reset_after`` starts counting anew.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds."""

    base: float = 10.0
    maximum: float = 300.0
    reset_after: float = 600.0


def wanted(policy: str, exit_code: int) -> bool:
    """Whether ``restartPolicy`` wants another attempt after this exit code."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def init_wanted(policy: str, exit_code: int) -> bool:
    """The same for an init container: success ends it, failure ends it only under ``Never``."""
    return exit_code != 0 and policy != "Never"


def effective(backoff: Backoff, streak: int, ran_for: float) -> int:
    """How many restarts in a row count, given how long the last attempt ran (seconds)."""
    return 0 if ran_for >= backoff.reset_after else streak


def delay(backoff: Backoff, streak: int) -> float:
    """Seconds between the end of an attempt and the next start, after ``streak`` restarts."""
    if streak <= 0:
        return 0.0
    return min(backoff.base * 2.0 ** min(streak - 1, 32), backoff.maximum)


def retry_delay(backoff: Backoff, failures: int) -> float:
    """Seconds to wait after the ``failures``-th failed try in a row of something else."""
    return delay(backoff, max(failures, 1))
