"""Starting the core: what the store defines is loaded, what every cluster has is made."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from cloudwright._base.clock import Clock
from cloudwright.apiserver import encoding, sweeping
from cloudwright.apiserver.admission import Admission
from cloudwright.apiserver.admission.deferred import Deferred
from cloudwright.apiserver.authz import ChainAuthorizer, upkeep
from cloudwright.apiserver.authz.index import GROUP
from cloudwright.apiserver.config import CoreConfig
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.flow import dangling
from cloudwright.apiserver.identity import ADMINISTRATORS, Authorizer, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.seeds import seed
from cloudwright.apiserver.seeds.seed import Seed
from cloudwright.apiserver.store.interface import Store
from cloudwright.model import resources
from cloudwright.model.objects import uid_of

SYSTEM = User("system:apiserver", (ADMINISTRATORS,))
_ROLES = f"/{GROUP}/"


async def start(
    store: Store,
    authorizer: Authorizer,
    *,
    config: CoreConfig | None = None,
    clock: Clock | None = None,
    admission: Sequence[Admission] = (),
) -> ApiCore:
    """A core on ``store`` that knows its definitions and addresses and has its namespaces.

    Raises:
        StoreError: the store cannot be read or written.
        ApiError: a role cannot be completed.
    """
    core = ApiCore(store, authorizer, config=config, clock=clock, admission=admission)
    await _load_definitions(core)
    await _load_addresses(core)
    seeds = seed.load()
    await _plant(core, [one for one in seeds if not one.key.startswith(_ROLES)])
    if isinstance(authorizer, ChainAuthorizer):
        await upkeep.ensure(core, seeds)
    core.admission.append(Deferred(core, authorizer))
    return core


@asynccontextmanager
async def running(
    store: Store,
    authorizer: Authorizer,
    *,
    config: CoreConfig | None = None,
    clock: Clock | None = None,
    admission: Sequence[Admission] = (),
) -> AsyncIterator[ApiCore]:
    """Like ``start``, and old Events are removed until the block ends: what a daemon wants."""
    core = await start(store, authorizer, config=config, clock=clock, admission=admission)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sweeping.run, core)
        tasks.start_soon(dangling.run, core)
        if not store.exclusive:
            from cloudwright.apiserver import sharing

            follower = sharing.Follower(core)
            store.listen(follower)
            core.addresses.begin_at(secrets.randbelow(core.addresses.network.num_addresses))
            follower.lost()  # what was written since the core began to load
            tasks.start_soon(follower.run)
        if isinstance(authorizer, ChainAuthorizer):
            tasks.start_soon(upkeep.run, core)
        yield core
        tasks.cancel_scope.cancel()


async def _load_definitions(core: ApiCore) -> None:
    kind = resources.CUSTOM_RESOURCE_DEFINITION
    if await core.store.count(storage_of(kind.group, kind.plural)):
        from cloudwright.apiserver import definitions

        await definitions.load(core, SYSTEM)


async def _load_addresses(core: ApiCore) -> None:
    page = await core.store.page(storage_of("", "services"))
    if page.records:
        from cloudwright.apiserver import services
    for record in page.records:
        service = encoding.decode(record.value)
        address = (service.get("spec") or {}).get("clusterIP") or "None"
        holder = uid_of(service)
        if address != "None" and core.addresses.problem(address, holder) is None:
            core.addresses.take(address, holder)
        for number in services.numbers(service.get("spec") or {}):
            if core.addresses.node_ports.problem(number, holder) is None:
                core.addresses.node_ports.take(number, holder)


async def _plant(core: ApiCore, seeds: Sequence[Seed]) -> None:
    """Make what is missing, namespaces first; what is there stays as it is."""
    missing = [one for one in seeds if await core.store.get(one.key) is None]
    await seed.plant(core, missing)
