"""Puts priority and fairness in front of the core: a seat for each request, or 429."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import anyio

from cloudwright._base import logs
from cloudwright.apiserver import encoding
from cloudwright.apiserver.flow import defaults, levels, schemas
from cloudwright.apiserver.flow.levels import Level, Pool
from cloudwright.apiserver.flow.schemas import Schema
from cloudwright.apiserver.identity import Attributes, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.store.interface import Event, Store
from cloudwright.client.transport import Reply
from cloudwright.model.objects import Object
from cloudwright.model.resources import FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from cloudwright.apiserver.vitals import Source

_log = logs.get("apiserver")
SEATS = 600
"""As upstream's 400 reading and 200 changing requests in flight."""
WAIT_SECONDS = 15.0
"""How long a request may wait for a seat."""
_PLACES_MAX = 20_000
_SCHEMAS = storage_of(FLOW_SCHEMA.group, FLOW_SCHEMA.plural)
_LEVELS = storage_of(PRIORITY_LEVEL_CONFIGURATION.group, PRIORITY_LEVEL_CONFIGURATION.plural)
_REFUSAL = b"Too many requests, please try again later.\n"
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request belongs."""

    schema: Schema
    level: Level
    flow: str
    headers: dict[str, str]


class FlowControl:
    """The gate of one server. A ``store.interface.Listener``: it follows its configuration."""

    about = (_SCHEMAS, _LEVELS)

    def __init__(self, store: Store, *, seats: int = SEATS, wait_seconds: float = WAIT_SECONDS):
        self._store = store
        self._seats = seats
        self._wait_seconds = wait_seconds
        self._places: dict[tuple[object, ...], Place] = {}
        self._schemas: list[Schema] = []
        self._pool = Pool((), seats)
        self._stale = True
        self._loading = anyio.Lock()
        store.listen(self)

    def event(self, event: Event) -> None:
        """Notice that the configuration changed."""
        if event.key.startswith(self.about):
            self._stale = True

    def lost(self) -> None:
        """Events were missed."""
        self._stale = True

    async def run(
        self, user: User, wanted: Attributes, serve: Callable[[], Awaitable[A]]
    ) -> A | Reply:
        """What ``serve`` answers, once the request has a seat; 429 when it gets none."""
        if self._stale:
            await self._load()
        place = self.place(user, wanted)
        level = place.level
        if not level.take() and not await self._wait(place):
            return _refused(place)
        try:
            answer = await serve()
        finally:
            level.leave()
        if isinstance(answer, Reply):
            return Reply(answer.status, {**answer.headers, **place.headers}, answer.body)
        if isinstance(answer, StreamReply):
            return replace(answer, headers={**answer.headers, **place.headers})
        return answer

    def place(self, user: User, wanted: Attributes) -> Place:
        """Where a request belongs."""
        # Everything but the object's name and what selects objects.
        key = (user.name, user.groups, *wanted[:5], wanted.path)
        found = self._places.get(key)
        if found is None:
            if len(self._places) >= _PLACES_MAX:
                self._places.clear()
            found = self._places[key] = self._find(user, wanted)
        return found

    def _find(self, user: User, wanted: Attributes) -> Place:
        schema = schemas.find(self._schemas, user, wanted)
        assert schema is not None, "catch-all is always there"
        level = self._pool.levels.get(schema.level)
        if level is None:  # dangling, as upstream: the next schema that is not
            usable = [one for one in self._schemas if one.level in self._pool.levels]
            schema = schemas.find(usable, user, wanted)
            assert schema is not None, "catch-all is always there"
            level = self._pool.levels[schema.level]
        headers = {
            "x-kubernetes-pf-flowschema-uid": schema.uid,
            "x-kubernetes-pf-prioritylevel-uid": level.spec.uid,
        }
        return Place(schema, level, f"{schema.name}/{schema.flow(user, wanted)}", headers)

    async def _wait(self, place: Place) -> bool:
        """Wait for a seat; whether it was given."""
        event = anyio.Event()
        entry = place.level.wait(place.flow, event.set)
        if entry is None:
            return False
        try:
            with anyio.move_on_after(self._wait_seconds):
                await event.wait()
        except BaseException:
            if event.is_set():
                place.level.leave()
            else:
                place.level.give_up(entry)
            raise
        if event.is_set():
            return True
        place.level.give_up(entry)
        return False

    async def _load(self) -> None:
        async with self._loading:
            if not self._stale:
                return
            self._stale = False
            try:
                found = [await self._objects(prefix) for prefix in (_SCHEMAS, _LEVELS)]
            except BaseException:
                self._stale = True
                raise
            kept, specs = schemas.read(_with(found[0], defaults.schemas())), []
            for obj in _with(found[1], defaults.levels()):
                specs.append(levels.read(obj))
            old, self._pool = self._pool, Pool(specs, self._seats)
            self._schemas = kept
            self._places.clear()
            for level in old.levels.values():
                level.retire()

    async def _objects(self, prefix: str) -> list[Object]:
        page = await self._store.page(prefix)
        return [encoding.decode(record.value) for record in page.records]

    def metrics(self) -> Source:
        """What ``/metrics`` shows, with upstream's names."""
        return _Collector(lambda: self._pool)


def _with(found: list[Object], mandatory: list[Object]) -> list[Object]:
    """``found`` and those of ``exempt`` and ``catch-all`` that somebody deleted."""
    names = {obj["metadata"]["name"] for obj in found}
    missing = [
        obj
        for obj in mandatory
        if obj["metadata"]["name"] in ("exempt", "catch-all")
        and obj["metadata"]["name"] not in names
    ]
    return [*found, *missing]


def _refused(place: Place) -> Reply:
    headers = {"content-type": "text/plain; charset=utf-8", "retry-after": "1", **place.headers}
    return Reply(429, headers, _REFUSAL)


class _Collector:
    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """One family for each number of the levels."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        gauges = (
            ("nominal_limit_seats", "Seats by share.", "seats"),
            ("current_executing_requests", "Requests that have a seat.", "executing"),
            ("current_inqueue_requests", "Requests that wait for one.", "inqueue"),
        )
        counters = (
            ("dispatched_requests", "Requests that got a seat.", "dispatched"),
            ("rejected_requests", "Requests that got none.", "rejected"),
        )
        for name, text, attribute in gauges:
            gauge = GaugeMetricFamily(
                f"apiserver_flowcontrol_{name}", text, labels=("priority_level",)
            )
            for level in self._pool().levels.values():
                gauge.add_metric((level.spec.name,), getattr(level, attribute))
            yield gauge
        for name, text, attribute in counters:
            counter = CounterMetricFamily(
                f"apiserver_flowcontrol_{name}", text, labels=("priority_level",)
            )
            for level in self._pool().levels.values():
                counter.add_metric((level.spec.name,), getattr(level, attribute))
            yield counter
