"""How a hook that does not return is stopped: a signal raises in it.

The proxy knows when a call took too long, and sends SIGALRM. The handler looks whether the hook
that runs now is over its own limit; if it is, ``HookTimeout`` is raised in it, if not, the handler
is called again when it will be. So a call costs one assignment, and no timer.
"""

from __future__ import annotations

import signal
from time import monotonic_ns
from types import FrameType


class HookTimeout(BaseException):
    """Raised in a hook that took too long; not an ``Exception``, so that no filter swallows it."""


class Limit:
    """When the hook that runs now must have returned."""

    def __init__(self) -> None:
        self.due = 0
        """CLOCK_MONOTONIC in nanoseconds; 0: no hook runs."""

    def install(self) -> None:
        """Take the process's SIGALRM. Only in the main thread."""
        signal.signal(signal.SIGALRM, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        due = self.due
        if not due:
            return
        left = due - monotonic_ns()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left / 1e9)
            return
        self.due = 0
        raise HookTimeout
