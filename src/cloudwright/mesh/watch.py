"""Keeps the snapshot true: follows the API's objects, coalesces their changes, and tells each Route
in its status whether it is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.client.informer import Callbacks, Informer
from cloudwright.mesh import vitals
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.errors import MeshError
from cloudwright.mesh.routes import Verdict
from cloudwright.model.conditions import set_condition
from cloudwright.model.objects import Object, generation, key_of, name_of, namespace_of
from cloudwright.model.resources import ENDPOINT_SLICE, POD, ROUTE, SERVICE

_log = logs.get("mesh")
_RETRY = 1.0


class MeshWatch:
    """The mesh's loop. ``run`` belongs into a task group, after ``MeshControl.start``."""

    def __init__(self, control: MeshControl, client: Client, *, clock: Clock | None = None) -> None:
        self._control = control
        self._client = client
        self._clock = clock or SystemClock()
        self._services = Informer(client, SERVICE)
        self._slices = Informer(client, ENDPOINT_SLICE)
        self._pods = Informer(client, POD)
        self._routes = Informer(client, ROUTE)
        self._changed = anyio.Event()
        self._judged = anyio.Event()

    @property
    def _informers(self) -> Sequence[Informer]:
        return self._services, self._slices, self._pods, self._routes

    async def run(self) -> None:
        """Follow and publish until cancelled. Nothing is published before every kind was read
        once: until then the proxies keep what an earlier run told them.
        """
        for informer in self._informers:
            informer.add_handler(Callbacks(lambda _: self._changed.set()))
        async with anyio.create_task_group() as group:
            group.start_soon(self._control.keep_certificates)
            for informer in self._informers:
                group.start_soon(informer.run)
            for informer in self._informers:
                await informer.wait_synced()
            self._changed.set()
            group.start_soon(self._tell_routes)
            await self._publish()

    async def _publish(self) -> None:
        while True:
            await self._changed.wait()
            await anyio.sleep(self._control.config.debounce_seconds)
            self._changed = anyio.Event()
            try:
                await self._control.update(*(informer.store.list() for informer in self._informers))
            except MeshError as error:
                vitals.SNAPSHOT_FAILURES.inc()
                _log.error(error.message)
                self._changed.set()
                await anyio.sleep(_RETRY)
                continue
            self._judged.set()

    async def _tell_routes(self) -> None:
        while True:
            await self._judged.wait()
            self._judged = anyio.Event()
            verdicts = self._control.verdicts
            try:
                for route in self._routes.store:
                    verdict = verdicts.get(key_of(route))
                    if verdict is not None:
                        await self._tell(route, verdict)
            except CloudwrightError as error:
                _log.warning("a Route's status cannot be written", extra={"why": error.message})
                self._judged.set()
                await anyio.sleep(_RETRY)

    async def _tell(self, route: Object, verdict: Verdict) -> None:
        status = route_status(route, verdict, self._clock)
        if status == (route.get("status") or {}):
            return
        try:
            await self._client.patch_status(ROUTE, name_of(route), status, namespace_of(route))
        except NotFound:
            return  # it was deleted in between


def route_status(route: Object, verdict: Verdict, clock: Clock) -> dict[str, Any]:
    """The status that ``route`` should have: conditions ``Accepted`` and ``ResolvedRefs``."""
    old: dict[str, Any] = route.get("status") or {}
    now, seen = clock.now(), generation(route)
    found = set_condition(
        old.get("conditions"),
        "Accepted",
        "True" if verdict.accepted else "False",
        verdict.reason,
        verdict.message,
        now,
        seen,
    )
    if verdict.accepted:
        found = set_condition(
            found,
            "ResolvedRefs",
            "True" if verdict.resolved else "False",
            verdict.resolved_reason,
            verdict.resolved_message,
            now,
            seen,
        )
    message = verdict.message if verdict.resolved else verdict.resolved_message
    return {**old, "observedGeneration": seen, "message": message, "conditions": found}
