"""State of the world: ``DiscoveryRequest`` and ``DiscoveryResponse``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudwright.mesh.xds import wire
from cloudwright.mesh.xds.cache import Resource, sotw_body
from cloudwright.mesh.xds.engine import LARGEST, Engine, Heard, Response
from cloudwright.mesh.xds.state import Flight, TypeState
from cloudwright.mesh.xds.types import FULL_STATE, WILDCARD


@dataclass(frozen=True, slots=True)
class Request:
    """What of a ``DiscoveryRequest`` matters; ``error`` is a NACK's reason."""

    url: str
    names: Sequence[str] = ()
    version: str = ""
    nonce: str = ""
    error: str | None = None


class Sotw(Engine):
    """A state-of-the-world stream.

    Listeners and clusters are sent whole when one of them changes; of other types only what
    changed is sent. A client that refused a resource is sent its old one with the others.
    """

    def request(self, asked: Request, now: float) -> Heard:
        """A request of the client: a subscription, an ACK or a NACK."""
        state = self.types.get(asked.url)
        if state is None:
            state = self._state(asked.url)
            self._subscribe(state, asked.names, first=True)
            self._resume(state, asked.version)
            return Heard("subscribe")
        if state.nonce and asked.nonce and asked.nonce != state.nonce:
            return Heard("stale")
        heard = self._answered(state, asked.nonce if state.nonce else "", asked.error, now)
        self._subscribe(state, asked.names, first=False)
        return heard

    def _resume(self, state: TypeState, version: str) -> None:
        """After a reconnect: a client that has all of it needs no answer."""
        whole = state.url in FULL_STATE and state.wildcard and not state.names
        if whole and version == state.seen.version:
            state.has, state.owned, state.acked = state.seen.resources, False, version
            state.asked.clear()
            state.answer = False

    def _subscribe(self, state: TypeState, said: Sequence[str], *, first: bool) -> None:
        if not first and list(said) == state.said:
            return
        state.said = list(said)
        names = set(said)
        wildcard = WILDCARD in names
        names.discard(WILDCARD)
        state.implicit = not said and state.url in FULL_STATE and (first or state.implicit)
        wildcard |= state.implicit
        added = names - state.names
        if wildcard and not state.wildcard:
            state.asked |= state.seen.resources.keys()
            state.answer = True
        if state.wildcard and not wildcard:
            state.forget({*state.has, *state.dirty, *state.asked} - names)
        elif not wildcard:
            state.forget(state.names - names)
        state.names, state.wildcard = names, wildcard
        state.asked |= added
        state.answer |= bool(added) and state.url in FULL_STATE

    def _compose(self, state: TypeState, now: float) -> Response | None:
        if state.url in FULL_STATE:
            return self._whole(state, now)
        due = self._due(state)
        changes: dict[str, Resource | None] = {}
        size = 0
        for name, new in due.items():
            if new is None:  # cannot be said in this variant; the client waits, or keeps it
                for waiting in (state.asked, state.forced, state.dirty):
                    waiting.discard(name)
            elif size == 0 or size + new.size <= LARGEST:
                changes[name] = new
                size += new.size
        if not changes:
            return None
        version, nonce = state.seen.version, self._nonce()
        body = sotw_body(new for new in changes.values() if new)
        flight = Flight(nonce, version, changes, None, now)
        return self._send(state, flight, body + wire.tail(state.url, version, nonce))

    def _whole(self, state: TypeState, now: float) -> Response | None:
        due = self._due(state)
        if not due and not state.answer:
            return None
        seen = state.seen
        keeps = any(name not in seen.resources and name not in due for name in state.has)
        pure = state.wildcard and not keeps and not state.rejected
        pure = pure and not (state.dirty | state.forced | state.asked) - due.keys()
        if pure:
            body, after, version = seen.body(), seen.resources, seen.version
        else:
            after = self._target(state, due)
            body = sotw_body(after.values())
            version = f"{seen.version}~{self._nonces + 1}"
        nonce = self._nonce()
        flight = Flight(nonce, version, due, after, now)
        return self._send(state, flight, body + wire.tail(state.url, version, nonce))

    @staticmethod
    def _target(state: TypeState, due: dict[str, Resource | None]) -> dict[str, Resource]:
        """Everything the client has after this response: what it has, and what is due."""
        target = {name: has for name, has in state.has.items() if state.covers(name)}
        for name, new in due.items():
            if new is None:
                target.pop(name, None)
            elif state.covers(name):
                target[name] = new
        return target
