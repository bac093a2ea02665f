"""Telling others in this process that something is another one now."""

from __future__ import annotations

from collections.abc import Callable


class Notices:
    """Callbacks that are called on the event loop. A callback must not raise."""

    def __init__(self) -> None:
        self._all: dict[int, Callable[[], None]] = {}
        self._next = 0

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` at every change; the result ends that."""
        key, self._next = self._next, self._next + 1
        self._all[key] = wake

        def end() -> None:
            self._all.pop(key, None)

        return end

    def tell(self) -> None:
        """Something may have changed."""
        for wake in list(self._all.values()):
            wake()
