"""What another API server on the same store writes, taken over by this one.

Objects come through the store. What a core derives from them and keeps in memory (what is served,
which Service addresses and node ports are taken) follows the store's events here. A store that only
this process writes needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from cloudwright._base import logs
from cloudwright.apiserver import definitions, encoding, services
from cloudwright.apiserver.errors import StoreError
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.store.interface import Event
from cloudwright.model.objects import Object, uid_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver")
_SERVICES = storage_of("", "services")
_PAUSE = 1.0


class Follower:
    """A ``Listener`` that keeps one core's registry and addresses as the store has them."""

    def __init__(self, core: ApiCore) -> None:
        self._core = core
        self._lost = anyio.Event()

    def event(self, event: Event) -> None:
        """Take over one write, ours or another's: both say the same."""
        if event.key.startswith(definitions.STORAGE):
            self._definition(encoding.decode(event.value), event.deleted)
        elif event.key.startswith(_SERVICES):
            service = encoding.decode(event.value)
            before = encoding.decode(event.previous) if event.previous else {}
            if event.deleted:
                before = before or service
                service = {"metadata": service["metadata"]}
            self._service(service, before)

    def lost(self) -> None:
        """Load everything anew, soon."""
        self._lost.set()

    async def run(self) -> None:
        """Load anew whenever events were missed."""
        while True:
            await self._lost.wait()
            self._lost = anyio.Event()
            try:
                await self._load()
            except StoreError as error:
                _log.warning("what others wrote cannot be read", extra={"why": error.message})
                self._lost.set()
                await anyio.sleep(_PAUSE)

    async def _load(self) -> None:
        core = self._core
        page = await core.store.page(definitions.STORAGE)
        kept = [encoding.decode(record.value) for record in page.records]
        names = {_plural_of(crd) for crd in kept}
        for served in core.registry.all():
            resource = served.resource
            if served.custom and (resource.group, resource.plural) not in names:
                core.registry.remove(resource.group, resource.plural)
        for crd in kept:
            self._definition(crd, False)
        for record in (await core.store.page(_SERVICES)).records:
            self._service(encoding.decode(record.value), {})

    def _definition(self, crd: Object, deleted: bool) -> None:
        registry = self._core.registry
        if not deleted:
            definitions.register(registry, crd, self._core.conversions)
            return
        group, plural = _plural_of(crd)
        if any(
            one.custom and (one.resource.group, one.resource.plural) == (group, plural)
            for one in registry.all()
        ):
            registry.remove(group, plural)

    def _service(self, service: Object, before: Object) -> None:
        """Take over the addresses and node ports that a Service has now; ``before`` is what it had
        (its last state when it is deleted, and ``service`` is then only its metadata).
        """
        addresses, holder = self._core.addresses, uid_of(service)
        ports = addresses.node_ports
        spec, had = service.get("spec") or {}, before.get("spec") or {}
        wanted, numbers = _address(spec), services.numbers(spec)
        if _address(had) != wanted:
            addresses.release(_address(had), holder)
        for number in set(services.numbers(had)) - set(numbers):
            ports.release(number, holder)
        if wanted and addresses.problem(wanted, holder) is None:
            addresses.take(wanted, holder)
        elif wanted:
            _log.error("two Services have one address", extra={"address": wanted, "uid": holder})
        for number in numbers:
            if ports.problem(number, holder) is None:
                ports.take(number, holder)
            else:
                _log.error("two Services have one port", extra={"port": number, "uid": holder})


def _address(spec: Object) -> str:
    found = str(spec.get("clusterIP") or "")
    return "" if found == "None" else found


def _plural_of(crd: Object) -> tuple[str, str]:
    return crd["spec"]["group"], crd["spec"]["names"]["plural"]
