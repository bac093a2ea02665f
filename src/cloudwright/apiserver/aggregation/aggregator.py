"""Follows the stored ``APIService`` s: whose a path is, and whether he is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from cloudwright._base import loading, logs
from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import calls, encoding
from cloudwright.apiserver.aggregation.findings import Findings
from cloudwright.apiserver.errors import ApiError, StoreError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Event
from cloudwright.client.transport import Request
from cloudwright.model.objects import Object, uid_of
from cloudwright.model.resources import API_SERVICE

if TYPE_CHECKING:
    from cloudwright.apiserver.aggregation.connecting import Dialer
    from cloudwright.apiserver.core import ApiCore
    from cloudwright.apiserver.proxies.door import ProxyDoor
    from cloudwright.apiserver.replies import StreamReply
    from cloudwright.client.transport import Reply

_log = logs.get("apiserver.aggregation")
STORAGE = storage_of(API_SERVICE.group, API_SERVICE.plural)
_BACKENDS = (storage_of("", "services"), storage_of("", "endpoints"))
_USER = User("system:apiserver", (ADMINISTRATORS,))
_WELL_SECONDS, _ILL_SECONDS = 30.0, 5.0
_UNCHECKED = Findings("Unknown", "", "")


@dataclass(slots=True)
class Foreign:
    """One group and version that a Service serves."""

    obj: Object
    found: Findings = field(default_factory=lambda: _UNCHECKED)

    @property
    def group(self) -> str:
        """Its API group."""
        return str(self.obj["spec"].get("group") or "")

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.obj["spec"].get("version") or "")

    @property
    def backend(self) -> str:
        """``NAMESPACE/NAME`` of its Service."""
        service = self.obj["spec"]["service"]
        return f"{service.get('namespace')}/{service.get('name')}"


class Aggregator:
    """A ``store.interface.Listener``; ``running`` keeps it at work."""

    about = (STORAGE, *_BACKENDS)

    def __init__(self, core: ApiCore, directory: Path, clients: bytes) -> None:
        self._core = core
        self._directory = directory
        self._clients = clients
        self._dialer: Dialer | None = None
        self._foreign: dict[tuple[str, str], Foreign] = {}
        self._wake = anyio.Event()
        self._lost = False
        core.store.listen(self)

    # --- what is known

    def all(self) -> list[Foreign]:
        """Every foreign group and version, the available and the others."""
        return list(self._foreign.values())

    def find(self, path: str) -> Foreign | None:
        """Whose a path below ``/apis/`` is; ``None``: ours, or nobody's."""
        if not self._foreign:
            return None
        parts = path.split("/", 4)
        return self._foreign.get((parts[2], parts[3])) if len(parts) > 3 else None

    async def answer(
        self, foreign: Foreign, request: Request, user: User
    ) -> Reply | StreamReply | ProxyDoor:
        """What the foreign server says to a request that is allowed."""
        # Imported when first needed: most servers have nobody behind them.
        from cloudwright.apiserver.aggregation import proxying
        from cloudwright.apiserver.aggregation.connecting import ForeignError, Target

        if not foreign.found.available or self._dialer is None:
            return proxying.unavailable()
        try:
            target = Target.of(foreign.obj)
            return await proxying.answer(self._dialer, target, request, user)
        except ForeignError as error:
            self._wake.set()  # is it still there?
            return proxying.unavailable(f"error trying to reach service: {error.message}")

    # --- following

    def event(self, event: Event) -> None:
        """Take over a write of an APIService; look again when its Service or endpoints change."""
        key = event.key
        if key.startswith(STORAGE):
            self._take(encoding.decode(event.value), deleted=event.deleted)
        elif self._foreign and key.startswith(_BACKENDS):
            where = key.split("/", 3)[3]
            if any(one.backend == where for one in self._foreign.values()):
                self._wake.set()

    def lost(self) -> None:
        """Load everything anew, soon."""
        self._lost = True
        self._wake.set()

    async def load(self) -> None:
        """Take over what is stored."""
        page = await self._core.store.page(STORAGE)
        self._foreign.clear()
        for record in page.records:
            self._take(encoding.decode(record.value), deleted=False)

    def _take(self, obj: Object, *, deleted: bool) -> None:
        spec = obj.get("spec") or {}
        key = (str(spec.get("group") or ""), str(spec.get("version") or ""))
        known = self._foreign.get(key)
        if deleted or not spec.get("service"):
            if self._foreign.pop(key, None) is not None:
                self._core.registry.touch()
            return
        if known is not None and known.obj["spec"] == spec and uid_of(known.obj) == uid_of(obj):
            known.obj = obj
        else:
            self._foreign[key] = Foreign(obj)
            self._wake.set()
        self._core.registry.touch()

    # --- checking

    async def run(self) -> None:
        """Publish who we are; check until cancelled: at changes, and from time to time."""
        await loading.ahead(f"{__package__}.connecting", f"{__package__}.trust")
        from cloudwright.apiserver.aggregation import connecting, trust
        from cloudwright.apiserver.webhooks.backends import StoredBackends

        core = self._core
        known = await anyio.to_thread.run_sync(trust.load, self._directory, self._clients)
        backends = StoredBackends(core.store, lambda: core.streams)
        self._dialer = connecting.Dialer(core.store, backends, known.front.client)
        await trust.publish(core, known)
        await self._follow()

    async def _follow(self) -> None:
        while True:
            well = all(one.found.available for one in self._foreign.values())
            pause = _WELL_SECONDS if well else _ILL_SECONDS
            with anyio.move_on_after(pause if self._foreign else None):
                await self._wake.wait()
            self._wake = anyio.Event()
            try:
                if self._lost:
                    self._lost = False
                    await self.load()
                async with anyio.create_task_group() as tasks:
                    for one in self.all():
                        tasks.start_soon(self._check, one)
            except* (StoreError, ApiError) as group:
                for error in group.exceptions:
                    _log.warning("an APIService cannot be checked: %s", error)
                await anyio.sleep(1.0)

    async def _check(self, foreign: Foreign) -> None:
        from cloudwright.apiserver.aggregation import checks

        assert self._dialer is not None, "run made it"
        found = await checks.check(self._core.store, self._dialer, foreign.obj)
        changed = found != foreign.found
        if not found.available and foreign.found.resources:
            # What it served stays in discovery, as stale.
            before = foreign.found
            found = Findings(
                found.status, found.reason, found.message, before.resources, before.v2, before.v3
            )
        foreign.found = found
        if changed:
            self._core.registry.touch()
        await self._tell(foreign)

    async def _tell(self, foreign: Foreign) -> None:
        """Write the condition when it is another than before."""
        found = foreign.found
        wanted = {
            "type": "Available",
            "status": found.status,
            "reason": found.reason,
            "message": found.message,
        }

        def change(old: Object) -> Object:
            conditions = list((old.get("status") or {}).get("conditions") or ())
            before: Object = next((one for one in conditions if one.get("type") == "Available"), {})
            if all(before.get(key) == value for key, value in wanted.items()):
                return old
            since = before.get("lastTransitionTime")
            if before.get("status") != found.status or not since:
                since = rfc3339(self._core.clock.now())
            kept = [one for one in conditions if one.get("type") != "Available"]
            made = {**wanted, "lastTransitionTime": since}
            return {**old, "status": {**(old.get("status") or {}), "conditions": [*kept, made]}}

        if change(foreign.obj) is foreign.obj:
            return
        from cloudwright.apiserver import writes

        name = foreign.obj["metadata"]["name"]
        headers = {"user-agent": "kube-apiserver"}
        request = Request("PUT", API_SERVICE.path("", name, "status"), (), headers)
        call = calls.parse(request, _USER, self._core.registry)
        try:
            await writes.change(self._core, call, change, attempts=5)
        except ApiError as error:
            if error.http_status not in (404, 409):
                raise


@asynccontextmanager
async def running(core: ApiCore, directory: Path, clients: bytes) -> AsyncIterator[Aggregator]:
    """Let ``core`` know foreign API servers until the block ends.

    ``directory`` holds the certificates by which they know us (made when missing); ``clients`` is
    the API's own authority, as PEM.
    """
    made = core.aggregator = Aggregator(core, directory, clients)
    await made.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        yield made
        tasks.cancel_scope.cancel()
