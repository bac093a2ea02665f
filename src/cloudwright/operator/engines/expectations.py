"""What a controller has asked for and not yet seen, so that a stale view does not make it ask
twice (upstream's ``UIDTrackingControllerExpectations``, but by uid for creations as well).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

GIVE_UP_SECONDS = 300.0
"""After this long a lost notification is assumed, as upstream."""
_REMEMBERED = 4096


@dataclass(slots=True)
class _Wait:
    since: float
    appear: set[str] = field(default_factory=set)
    vanish: set[str] = field(default_factory=set)
    uncertain: bool = False


class Expectations:
    """By owner key: uids that must still appear or vanish in the view."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}
        self._recent: OrderedDict[str, None] = OrderedDict()

    def created(self, key: str, uid: str, now: float) -> None:
        """The server answered a creation with this uid (the view may have been faster)."""
        if uid not in self._recent:
            self._wait(key, now).appear.add(uid)

    def deleting(self, key: str, uid: str, now: float) -> None:
        """A deletion of this uid is about to be sent."""
        self._wait(key, now).vanish.add(uid)

    def not_deleting(self, key: str, uid: str) -> None:
        """That deletion failed."""
        wait = self._waits.get(key)
        if wait is not None:
            wait.vanish.discard(uid)

    def uncertain(self, key: str, now: float) -> None:
        """A creation ended without an answer: only the server knows, so ask it before the next."""
        self._wait(key, now).uncertain = True

    def saw(self, key: str, uid: str, *, gone: bool) -> None:
        """The view has shown this uid; ``gone`` when it is deleted or being deleted."""
        self._recent[uid] = None
        self._recent.move_to_end(uid)
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        wait = self._waits.get(key)
        if wait is not None:
            wait.appear.discard(uid)
            if gone:
                wait.vanish.discard(uid)

    def needs_list(self, key: str) -> bool:
        """Whether the view must be replaced by a fresh list before anything is created."""
        wait = self._waits.get(key)
        return wait is not None and wait.uncertain

    def listed(self, key: str) -> None:
        """The server was asked: everything is known again."""
        self._waits.pop(key, None)

    def pending(self, key: str, now: float) -> float | None:
        """Seconds after which waiting makes no more sense; ``None`` when nothing is awaited."""
        wait = self._waits.get(key)
        if wait is None or not (wait.appear or wait.vanish):
            return None
        left = wait.since + GIVE_UP_SECONDS - now
        if left <= 0:
            # Only the server knows what became of it.
            wait.appear.clear()
            wait.vanish.clear()
            wait.uncertain = True
            return None
        return left

    def forget(self, key: str) -> None:
        """The owner is gone."""
        self._waits.pop(key, None)

    def _wait(self, key: str, now: float) -> _Wait:
        wait = self._waits.setdefault(key, _Wait(now))
        wait.since = now
        return wait
