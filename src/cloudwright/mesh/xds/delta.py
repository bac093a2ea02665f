"""Incremental: ``DeltaDiscoveryRequest`` and ``DeltaDiscoveryResponse``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloudwright.mesh.xds import wire
from cloudwright.mesh.xds.cache import Resource, delta_body, known
from cloudwright.mesh.xds.engine import LARGEST, Engine, Heard, Response
from cloudwright.mesh.xds.state import Flight, TypeState
from cloudwright.mesh.xds.types import FULL_STATE, WILDCARD


@dataclass(frozen=True, slots=True)
class Request:
    """What of a ``DeltaDiscoveryRequest`` matters; ``error`` is a NACK's reason."""

    url: str
    subscribe: Sequence[str] = ()
    unsubscribe: Sequence[str] = ()
    initial: Mapping[str, str] = field(default_factory=dict)
    """What the client has from an earlier stream: version by name."""
    nonce: str = ""
    error: str | None = None


class Delta(Engine):
    """An incremental stream: what changed is sent, what is gone is named."""

    def request(self, asked: Request, now: float) -> Heard:
        """A request of the client: a subscription, an ACK or a NACK, or both."""
        state = self.types.get(asked.url)
        if state is None:
            self._first(self._state(asked.url), asked)
            return Heard("subscribe")
        heard = self._answered(state, asked.nonce, asked.error, now)
        if asked.unsubscribe:
            self._unsubscribe(state, asked.unsubscribe)
        if asked.subscribe:
            self._subscribe(state, asked.subscribe)
        return heard

    def _first(self, state: TypeState, asked: Request) -> None:
        """The first request of a type on this stream, after a reconnect with what there is."""
        state.names = set(asked.subscribe) - set(asked.unsubscribe)
        state.implicit = not state.names and state.url in FULL_STATE
        state.wildcard = state.implicit or WILDCARD in state.names
        state.names.discard(WILDCARD)
        state.has = {n: known(n, v) for n, v in asked.initial.items() if state.covers(n)}
        state.dirty = state.names | state.has.keys()
        if state.wildcard:
            state.dirty |= state.seen.resources.keys()
            state.answer = not asked.initial
        # the client is told of what is not there
        state.asked = {n for n in state.names if n not in state.has and not state.seen.get(n)}

    def _subscribe(self, state: TypeState, names: Iterable[str]) -> None:
        wanted = set(names)
        if WILDCARD in wanted:
            wanted.discard(WILDCARD)
            state.wildcard = True
            state.dirty |= state.seen.resources.keys()
            state.answer = True
        state.implicit = False
        state.names |= wanted
        state.asked |= wanted  # also what was sent before: the client may have dropped it
        for name in wanted:
            state.rejected.pop(name, None)

    def _unsubscribe(self, state: TypeState, names: Iterable[str]) -> None:
        gone = set(names)
        if WILDCARD in gone:
            gone.discard(WILDCARD)
            state.wildcard = state.implicit = False
            flying = state.flight.changes.keys() if state.flight else set()
            state.forget({*state.has, *state.dirty, *state.asked, *flying} - state.names)
        gone &= state.names
        state.names -= gone
        state.forget(gone)
        if state.wildcard:  # still in the wildcard, or not there: the client has to be told
            state.asked |= gone

    def _compose(self, state: TypeState, now: float) -> Response | None:
        due = self._due(state)
        if not due and not state.answer:
            return None
        changes: dict[str, Resource | None] = {}
        size = 0
        for name, new in due.items():
            extra = new.size if new else len(name) + 2
            if size == 0 or size + extra <= LARGEST:
                changes[name] = new
                size += extra
        version, nonce = state.seen.version, self._nonce()
        flight = Flight(nonce, version, changes, self._after(state, changes), now)
        payload = (
            delta_body(new for new in changes.values() if new)
            + wire.removed([name for name, new in changes.items() if new is None])
            + wire.tail(state.url, version, nonce)
        )
        return self._send(state, flight, payload)

    @staticmethod
    def _after(
        state: TypeState, changes: Mapping[str, Resource | None]
    ) -> Mapping[str, Resource] | None:
        """The server's own set, when the client will have exactly that: many streams share it."""
        if not state.wildcard or state.rejected:
            return None
        if (state.dirty | state.forced | state.asked) - changes.keys():
            return None
        return state.seen.resources
