"""Leader election for an operator that runs more than once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import Clock, SystemClock
from cloudwright._base.errors import CloudwrightError
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.model.objects import Object, resource_version
from cloudwright.model.resources import LEASE
from cloudwright.operator.engines import lease as engine
from cloudwright.operator.engines.lease import Timing
from cloudwright.operator.engines.nodes import Sighting, sight
from cloudwright.operator.errors import LeadershipLost

_LOG = logs.get("operator.leader")


class Elector:
    """Holds one Lease as ``identity``."""

    def __init__(
        self,
        client: Client,
        identity: str,
        *,
        namespace: str = "kube-system",
        name: str = "cloudwright-operator",
        clock: Clock | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._client = client
        self._identity = identity
        self._name = (namespace, name)
        self._clock = clock or SystemClock()
        self._timing = timing or Timing()
        self._sighting: Sighting | None = None

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, run ``work`` while it is held, give it back at the end.

        Raises:
            LeadershipLost: it could not be renewed in time; ``work`` has been cancelled.
        """
        while not await self._hold():  # noqa: ASYNC110 - staleness is silence: no event tells it
            await anyio.sleep(self._timing.retry)
        _LOG.info("leading", extra={"identity": self._identity})
        lost = False
        try:
            async with anyio.create_task_group() as tasks:

                async def renew() -> None:
                    nonlocal lost
                    await self._renew_while_possible()
                    lost = True
                    tasks.cancel_scope.cancel()

                tasks.start_soon(renew)
                await work()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._timing.retry):
                await self._release()
        if lost:
            raise LeadershipLost(
                f"{self._identity} could not renew the Lease {'/'.join(self._name)}",
                hint="it will be tried again when the operator is started again",
            )

    async def _renew_while_possible(self) -> None:
        """Return once the Lease was not renewed for ``renew_within``, or is somebody else's."""
        renewed = self._clock.monotonic()
        while self._clock.monotonic() - renewed < self._timing.renew_within:
            await anyio.sleep(self._timing.retry)
            if await self._hold():
                renewed = self._clock.monotonic()

    async def _hold(self) -> bool:
        """Take or renew the Lease; whether it is ours now."""
        try:
            lease = await self._read()
            mono, now = self._clock.monotonic(), self._now()
            # The revision tells renewals apart, also within one tick of the holder's clock.
            mark = {"spec": {"renewTime": resource_version(lease or {})}}
            self._sighting = sight(self._sighting, mark, mono)
            wish = engine.claim(
                lease, self._name, self._identity, self._sighting, self._timing, now, mono
            )
            if wish is None:
                return False
            if lease is None:
                await self._client.create(LEASE, wish)
            else:
                await self._client.update(LEASE, wish)
        except CloudwrightError as error:
            _LOG.debug("the Lease %s: %s", self._name[1], error)
            return False
        return True

    async def _release(self) -> None:
        try:
            lease = await self._read()
            wish = engine.released(lease, self._identity) if lease else None
            if wish is not None:
                await self._client.update(LEASE, wish)
        except CloudwrightError as error:
            _LOG.warning("the Lease %s is not given back: %s", self._name[1], error)

    async def _read(self) -> Object | None:
        try:
            return await self._client.get(LEASE, self._name[1], self._name[0])
        except NotFound:
            return None

    def _now(self) -> datetime:
        return self._clock.now()
