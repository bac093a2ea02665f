"""What one stream knows of one resource type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloudwright.mesh.xds.cache import EMPTY, Resource, TypeSet

PATIENCE = 8
"""NACKs in a row after which the rest of a refused response is not tried again either."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A NACK: why a client did not take a response, and which one."""

    message: str
    version: str
    names: tuple[str, ...]


@dataclass(slots=True)
class Flight:
    """A response that is neither acknowledged nor refused yet."""

    nonce: str
    version: str
    changes: dict[str, Resource | None]
    """What it changes for the client; ``None`` is a removal."""
    after: Mapping[str, Resource] | None
    """What the client has afterwards, when that is a set which many share."""
    at: float


@dataclass(slots=True)
class TypeState:
    """Subscription, what the client has, and what it has to get.

    Every covered name whose resource differs from what the client has is in ``dirty``,
    ``forced``, ``asked``, ``rejected`` or in flight.
    """

    url: str
    wildcard: bool = False
    implicit: bool = False
    """Wildcard because no name was ever given."""
    names: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    """The names of the last request, as they came (state of the world)."""
    seen: TypeSet = EMPTY
    has: Mapping[str, Resource] = field(default_factory=dict)
    """What the client acknowledged."""
    owned: bool = True
    """Whether ``has`` is this stream's own dictionary."""
    dirty: set[str] = field(default_factory=set)
    """Names to compare; sent when they differ."""
    forced: set[str] = field(default_factory=set)
    """Names to send even if they do not differ."""
    asked: set[str] = field(default_factory=set)
    """Names to answer at once."""
    answer: bool = False
    """A response is owed even if nothing is in it."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Versions that the client refused (empty: a removal); not sent again until one changes."""
    refusal: Refusal | None = None
    """The last NACK; it stays as long as something is in ``rejected``."""
    refused: int = 0
    """NACKs since the last ACK."""
    flight: Flight | None = None
    nonce: str = ""
    acked: str = ""
    """The version of the last response that was acknowledged."""

    def covers(self, name: str) -> bool:
        """Whether the client asked for ``name``."""
        return self.wildcard or name in self.names

    def pending(self) -> bool:
        """Whether something may have to be sent."""
        return bool(self.dirty or self.forced or self.asked or self.answer)

    def look(self, new: TypeSet) -> None:
        """Take over another set of the server's."""
        if new is self.seen:
            return
        changed = new.changed_since(self.seen)
        self.seen = new
        if self.wildcard:
            self.dirty |= changed
        else:
            self.dirty |= {name for name in changed if name in self.names}
        if any(self._reconsider(name) for name in changed if name in self.rejected):
            # A client may have refused all of a response for the sake of one resource.
            self.forced |= self.rejected.keys()
            self.rejected.clear()

    def _reconsider(self, name: str) -> bool:
        new = self.seen.get(name)
        return (new.version if new else "") != self.rejected[name]

    def differs(self, name: str) -> bool:
        """Whether the client has another ``name`` than the server, and did not refuse that."""
        if name in self.rejected:
            return False
        mine, theirs = self.seen.get(name), self.has.get(name)
        if mine is None or theirs is None:
            return mine is not theirs
        return mine.version != theirs.version

    def accept(self) -> None:
        """The client took what is in flight."""
        flight = self.flight
        if flight is None:
            return
        self.flight, self.acked, self.refused = None, flight.version, 0
        if flight.after is not None:
            self.has, self.owned = flight.after, False
        else:
            mine = self._own()
            for name, new in flight.changes.items():
                if new is None:
                    mine.pop(name, None)
                else:
                    mine[name] = new
        for name in flight.changes:
            self.rejected.pop(name, None)
        if not self.rejected:
            self.refusal = None

    def refuse(self, message: str) -> None:
        """The client refused what is in flight; it keeps what it had.

        What the message names is not sent again until it changes, the rest of the response is
        (without it); when it names nothing, nothing of the response is.
        """
        flight = self.flight
        if flight is None:
            return
        self.flight = None
        self.refusal = Refusal(message, flight.version, tuple(flight.changes))
        self.refused += 1
        guilty = named_in(message, flight.changes) if self.refused <= PATIENCE else set()
        guilty = guilty or set(flight.changes)
        self.forced |= flight.changes.keys() - guilty
        for name in guilty:
            new = flight.changes[name]
            self.rejected[name] = new.version if new else ""
        if any(self._reconsider(name) for name in guilty):  # it changed in the meantime
            self.forced |= self.rejected.keys()
            self.rejected.clear()

    def forget(self, names: Iterable[str]) -> None:
        """The client has these no longer, and does not want them."""
        mine, gone = self._own(), set(names)
        for name in gone:
            mine.pop(name, None)
            self.rejected.pop(name, None)
            for waiting in (self.dirty, self.forced, self.asked):
                waiting.discard(name)
            if self.flight is not None:
                self.flight.changes.pop(name, None)
        if self.flight is not None and self.flight.after is not None:
            left = self.flight.after
            self.flight.after = {n: r for n, r in left.items() if n not in gone}

    def _own(self) -> dict[str, Resource]:
        if not self.owned or not isinstance(self.has, dict):
            self.has, self.owned = dict(self.has), True
        found: dict[str, Resource] = self.has
        return found


def named_in(message: str, names: Iterable[str]) -> set[str]:
    """Those of ``names`` that stand in an error message as words of their own."""
    return {
        name
        for name in names
        if name in message
        and re.search(rf"(?<![\w./:-]){re.escape(name)}(?![\w/-]|[.:]\w)", message)
    }
