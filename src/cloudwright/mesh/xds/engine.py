"""One stream of an xDS client, without input or output: what is asked, what is owed, in order.

Requests go in by ``request`` (see ``sotw`` and ``delta``), another view of the server by ``look``;
``next`` gives the responses to send, one at a time, until there is none. At most one response of a
type is on its way: what changes meanwhile goes into the next.

Over ADS updates are made before they are broken: a listener or route goes out when the client has
acknowledged clusters and has the endpoints of new ones; a cluster is taken away when listeners
and routes are acknowledged, and stays while one of them is refused. What the client asks for by
name is answered at once. ``held`` says that something waits for the client; ``release`` lets it go
(a client need not ask for a cluster's endpoints).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cloudwright.mesh.xds.cache import EMPTY, Resource, View
from cloudwright.mesh.xds.state import Flight, TypeState
from cloudwright.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, rank

LARGEST = 2 * 1024 * 1024
"""Bytes of resources in one response, where the protocol allows several (gRPC clients take 4 MiB
by default)."""
_FIRST = frozenset((CLUSTER, ENDPOINT))
_AFTER = frozenset((LISTENER, ROUTE))


@dataclass(frozen=True, slots=True)
class Response:
    """A response to send."""

    url: str
    version: str
    nonce: str
    payload: bytes
    """The encoded ``DiscoveryResponse`` or ``DeltaDiscoveryResponse``."""
    changes: int
    """How many resources it brings or takes away."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a request meant."""

    kind: Literal["subscribe", "ack", "nack", "stale"]
    seconds: float = 0.0
    """Since the response that it answers was sent."""


class Engine:
    """What ``sotw.Sotw`` and ``delta.Delta`` have in common. ``ordered``: this is ADS."""

    def __init__(self, view: View, *, ordered: bool) -> None:
        self.view = view
        self.types: dict[str, TypeState] = {}
        self._line: list[TypeState] = []
        self._ordered = ordered
        self._awaited: set[str] = set()
        """Endpoints of new clusters that the client has not been given yet."""
        self._released = False
        self._nonces = 0

    def look(self, view: View) -> None:
        """Take over what the server has now."""
        self.view = view
        self._released = False
        for url, state in self.types.items():
            state.look(view.get(url, EMPTY))

    def next(self, now: float) -> Response | None:
        """The next response to send at ``now`` (seconds of a steady clock), if one is due."""
        for _ in range(2):  # the first pass may find that nothing is owed any more
            for state in self._line:
                if state.flight is None and state.pending():
                    response = self._compose(state, now)
                    if response is not None:
                        return response
        return None

    @property
    def held(self) -> bool:
        """Whether something is kept back until the client has taken something else."""
        return not self._released and any(
            state.flight is None and state.pending() for state in self._line
        )

    def release(self) -> None:
        """Keep nothing back any longer, until the next change."""
        self._released = True
        self._awaited.clear()

    def _state(self, url: str) -> TypeState:
        """The state of a type that is asked for the first time."""
        state = TypeState(url, seen=self.view.get(url, EMPTY))
        self.types[url] = state
        self._line = sorted(self.types.values(), key=lambda one: (rank(one.url), one.url))
        return state

    def _answered(self, state: TypeState, nonce: str, error: str | None, now: float) -> Heard:
        """An ACK or a NACK (``error``), or neither."""
        flight = state.flight
        if not nonce or flight is None:
            return Heard("subscribe")
        if nonce != flight.nonce:
            return Heard("stale")
        if error is None:
            state.accept()
            return Heard("ack", now - flight.at)
        state.refuse(error)
        if state.url == CLUSTER:
            self._awaited.clear()
        return Heard("nack", now - flight.at)

    # what may go now

    def _waits(self, url: str) -> bool:
        """Whether a push of this type must wait for the client."""
        if not self._ordered or self._released or url not in _AFTER:
            return False
        return bool(self._awaited) or any(
            state.flight is not None for state in self._line if state.url in _FIRST
        )

    def _keeps(self, url: str) -> bool:
        """Whether what is gone of this type must stay for a while."""
        if not self._ordered or url not in _FIRST:
            return False
        for state in self._line:
            if state.url not in _AFTER:
                continue
            waiting = state.flight is not None or state.pending()
            if state.rejected or (waiting and not self._released):
                return True
        return False

    def _due(self, state: TypeState) -> dict[str, Resource | None]:
        """What of a type is to be sent now. Names of which nothing is owed are struck off."""
        due: dict[str, Resource | None] = {}
        state.dirty = {name for name in state.dirty if state.differs(name)}
        waits, keeps = self._waits(state.url), self._keeps(state.url)
        names: Iterable[str] = state.asked
        if not waits:
            names = state.asked | state.forced | state.dirty
        for name in names:
            new = state.seen.get(name)
            if new is None and keeps and name in state.has:
                continue
            due[name] = new
        return due

    def _send(self, state: TypeState, flight: Flight, payload: bytes) -> Response:
        """Note a response as sent."""
        state.flight, state.nonce = flight, flight.nonce
        sent = flight.changes.keys()
        state.dirty -= sent
        state.forced -= sent
        state.asked -= sent
        state.answer = False
        if self._ordered:
            self._depend(state, flight)
        changes = len(flight.changes)
        return Response(state.url, flight.version, flight.nonce, payload, changes)

    def _depend(self, state: TypeState, flight: Flight) -> None:
        """A changed cluster warms up with its endpoints, a listener with its routes: they are
        sent again, because the client may not ask again.
        """
        if state.url == ENDPOINT:
            self._awaited -= flight.changes.keys()
        below = {CLUSTER: ENDPOINT, LISTENER: ROUTE}.get(state.url)
        if below is None:
            return
        known, offered = self.types.get(below), self.view.get(below, EMPTY)
        for changed in flight.changes.values():
            for name in changed.refs if changed else ():
                if offered.get(name) is None:
                    continue
                if known is not None and known.covers(name):
                    known.forced.add(name)
                elif below == ENDPOINT:
                    self._awaited.add(name)

    def _nonce(self) -> str:
        self._nonces += 1
        return str(self._nonces)

    def _compose(self, state: TypeState, now: float) -> Response | None:
        raise NotImplementedError
