"""Starting the core: what the store defines is loaded, what every cluster has is made."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import orjson

from cloudwright._base.clock import Clock
from cloudwright._base.errors import CloudwrightError
from cloudwright.apiserver import encoding, sweeping
from cloudwright.apiserver.admission import Admission, priorities
from cloudwright.apiserver.admission.deferred import Deferred
from cloudwright.apiserver.authz import ChainAuthorizer, upkeep
from cloudwright.apiserver.config import CoreConfig
from cloudwright.apiserver.core import ApiCore
from cloudwright.apiserver.flow import defaults
from cloudwright.apiserver.identity import ADMINISTRATORS, Authorizer, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import StreamReply
from cloudwright.apiserver.store.interface import Store
from cloudwright.client.transport import Request
from cloudwright.model import resources
from cloudwright.model.objects import Object, name_of, uid_of

SYSTEM = User("system:apiserver", (ADMINISTRATORS,))
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "cloudwright-system")


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
        CloudwrightError: a namespace cannot be made.
    """
    core = ApiCore(store, authorizer, config=config, clock=clock, admission=admission)
    await _load_definitions(core)
    await _load_addresses(core)
    for name in NAMESPACES:
        await _ensure_namespace(core, name)
    if isinstance(authorizer, ChainAuthorizer):
        await upkeep.ensure(core)
    await _ensure_flows_and_priorities(core)
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


async def _ensure_flows_and_priorities(core: ApiCore) -> None:
    """Make what is missing of the objects of priority and fairness, and of pods' priorities."""
    async with anyio.create_task_group() as tasks:
        for found in priorities.classes():
            tasks.start_soon(_ensure, core, resources.PRIORITY_CLASS, found)
        for level in defaults.levels():
            tasks.start_soon(_ensure, core, resources.PRIORITY_LEVEL_CONFIGURATION, level)
        for schema in defaults.schemas():
            tasks.start_soon(_ensure, core, resources.FLOW_SCHEMA, schema)


async def _ensure_namespace(core: ApiCore, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await _ensure(core, resources.NAMESPACE, body)


async def _ensure(core: ApiCore, resource: resources.Resource, body: Object) -> None:
    """Make an object that belongs to no namespace, unless there is one of its name."""
    name = name_of(body)
    if await core.store.get(f"{storage_of(resource.group, resource.plural)}/{name}") is not None:
        return
    # Not through `handle`: the authorizer may not know the system's own user.
    from cloudwright.apiserver import calls
    from cloudwright.apiserver.verbs import create

    headers = {"user-agent": "kube-apiserver"}
    request = Request("POST", resource.path(), (), headers, orjson.dumps(body))
    answer = await create.create(core, calls.parse(request, SYSTEM, core.registry))
    if isinstance(answer, StreamReply) or answer.status != 201:
        raise CloudwrightError(f"the {resource.kind} {name} cannot be made")
