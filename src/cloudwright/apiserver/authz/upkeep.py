"""Keeping roles as they should be: the bootstrap policy at the start, aggregation all the time."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import orjson

from cloudwright._base import logs
from cloudwright.apiserver import calls, encoding
from cloudwright.apiserver.authz import policy, reconcile
from cloudwright.apiserver.authz.index import GROUP
from cloudwright.apiserver.errors import ApiError, CompactedError, SlowWatcherError, StoreError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.seeds import seed
from cloudwright.apiserver.seeds.seed import Seed
from cloudwright.client.transport import Request
from cloudwright.model import resources
from cloudwright.model.objects import Object, annotations_of, name_of, namespace_of
from cloudwright.model.resources import Resource

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver.roles")
SYSTEM = User("system:apiserver", (ADMINISTRATORS,))
CUSTOM_VIEW = "system:cloudwright:custom-kinds-to-view"
CUSTOM_EDIT = "system:cloudwright:custom-kinds-to-edit"
_AT_ONCE = 32
_RETRY_SECONDS = 1.0
_PREFIX = f"/{GROUP}/"
BY_KIND: dict[str, Resource] = {
    resource.kind: resource
    for resource in (
        *(resources.ROLE, resources.CLUSTER_ROLE),
        *(resources.ROLE_BINDING, resources.CLUSTER_ROLE_BINDING),
    )
}
"""The kinds of this group."""


async def ensure(core: ApiCore, seeds: Iterable[Seed] | None = None) -> None:
    """Make or complete the bootstrap roles and bindings (``seeds``, where they are loaded
    already). Raises ``ApiError``, ``StoreError``.
    """
    seeds = seed.load() if seeds is None else seeds
    wanted = {one.key: one for one in seeds if one.key.startswith(_PREFIX)}
    existing = await _all(core)
    missing = [one for key, one in wanted.items() if key not in existing]
    # A binding may name a role of the same round: authorization only looks it up when asked.
    await seed.plant(core, missing)
    wishes = {key: wanted[key].decoded() for key in existing if key in wanted}
    defined = _defined(core)
    if defined:  # what they add is no seed
        existing = await _all(core)
        wishes = {key: one.decoded() for key, one in wanted.items()}
        wishes |= {_key(wish): wish for wish in customs(defined)}
        reconcile.complete(wishes.values())
    limiter = anyio.CapacityLimiter(_AT_ONCE)
    async with anyio.create_task_group() as tasks:
        for key, wish in wishes.items():
            has = existing[key]
            if reconcile.rebound(has, wish):
                tasks.start_soon(_replace, core, limiter, wanted[key], has)
            elif reconcile.reconciled(has, wish) is not None:
                tasks.start_soon(_complete, core, limiter, wish)


async def run(core: ApiCore) -> None:
    """Keep aggregating ClusterRoles complete, until cancelled."""
    while True:
        try:
            await _follow(core)
        except (CompactedError, SlowWatcherError):
            continue
        except (ApiError, StoreError) as error:
            _log.warning("roles are not aggregated: %s", error.message)
            await anyio.sleep(_RETRY_SECONDS)


async def aggregate(core: ApiCore) -> int:
    """Write the rules of every aggregating ClusterRole that are not as they should be."""
    found, stale = await _cluster_roles(core), False
    for wish in customs(_defined(core)):
        name = name_of(wish)
        if name in found and annotations_of(found[name]).get(policy.AUTOUPDATE) == "false":
            continue
        if name not in found or found[name].get("rules") != wish["rules"]:
            await _write_rules(core, wish, name in found)
            stale = True
    written = 0
    while True:
        if stale:
            found = await _cluster_roles(core)
        lacking = reconcile.aggregated(found)
        if not lacking:
            return written
        for name, rules in lacking.items():
            await _set_rules(core, name, rules)
        written += len(lacking)
        stale = True


async def _follow(core: ApiCore) -> None:
    """Aggregate, then after every change of a ClusterRole or a definition again."""
    roles = storage_of(GROUP, resources.CLUSTER_ROLE.plural)
    definitions = resources.CUSTOM_RESOURCE_DEFINITION
    after = core.store.revision
    prefixes = (roles, storage_of(definitions.group, definitions.plural))
    changed = anyio.Event()

    async def wait(prefix: str) -> None:
        nonlocal changed
        watch = core.store.watch(prefix, after=after)
        try:
            while True:
                if await watch.batch():
                    changed.set()
        finally:
            watch.close()

    try:
        async with anyio.create_task_group() as tasks:
            for prefix in prefixes:
                tasks.start_soon(wait, prefix)
            while True:
                await aggregate(core)
                await changed.wait()
                changed = anyio.Event()
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _defined(core: ApiCore) -> dict[str, set[str]]:
    """What CustomResourceDefinitions define: resources by group, with their subresources."""
    found: dict[str, set[str]] = {}
    for served in core.registry.all():
        if served.custom:
            names = found.setdefault(served.resource.group, set())
            names.add(served.resource.plural)
            if served.scale is not None:
                names.add(f"{served.resource.plural}/scale")
    return found


def customs(defined: Mapping[str, Iterable[str]]) -> list[Object]:
    """Roles that let ``view`` and ``edit`` reach what is defined (resources by group)."""
    groups = [(group, sorted(names)) for group, names in sorted(defined.items())]
    return [
        policy.cluster_role(
            name, [policy.rule(verbs, group, *names) for group, names in groups], to
        )
        for name, verbs, to in (
            (CUSTOM_VIEW, policy.READ, "view"),
            (CUSTOM_EDIT, policy.WRITE, "edit"),
        )
    ]


def _key(role: Object) -> str:
    resource = BY_KIND[role["kind"]]
    return f"{storage_of(GROUP, resource.plural)}{namespace_of(role)}/{name_of(role)}"


async def _all(core: ApiCore) -> dict[str, Object]:
    page = await core.store.page(_PREFIX)
    return {record.key: encoding.decode(record.value) for record in page.records}


async def _cluster_roles(core: ApiCore) -> dict[str, Object]:
    page = await core.store.page(storage_of(GROUP, resources.CLUSTER_ROLE.plural))
    found = (encoding.decode(record.value) for record in page.records)
    return {name_of(obj): obj for obj in found}


async def _complete(core: ApiCore, limiter: anyio.CapacityLimiter, wish: Object) -> None:
    from cloudwright.apiserver import writes

    def alter(current: Object) -> Object:
        return reconcile.reconciled(current, wish) or current

    async with limiter:
        await writes.change(core, _call(core, "PUT", wish), alter, attempts=5)


async def _replace(
    core: ApiCore, limiter: anyio.CapacityLimiter, wanted: Seed, has: Object
) -> None:
    """A binding to another role can only go."""
    from cloudwright.apiserver import writes

    async with limiter:
        call = _call(core, "DELETE", has)
        record = await core.store.get(wanted.key)
        if record is not None:
            await writes.remove(core, call, record, has)
        await seed.plant(core, [wanted])


async def _create(core: ApiCore, wish: Object) -> None:
    from cloudwright.apiserver import writes

    try:
        await writes.create(core, _call(core, "POST", wish), copy.deepcopy(wish))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


async def _write_rules(core: ApiCore, wish: Object, exists: bool) -> None:
    if exists:
        await _set_rules(core, name_of(wish), wish["rules"])
    else:
        await _create(core, wish)


async def _set_rules(core: ApiCore, name: str, rules: list[dict[str, Any]]) -> None:
    head = {"kind": "ClusterRole", "metadata": {"name": name}}

    from cloudwright.apiserver import writes

    def alter(current: Object) -> Object:
        return {**current, "rules": rules}

    try:
        call = _call(core, "PUT", head, "clusterrole-aggregation-controller")
        await writes.change(core, call, alter, attempts=5)
    except ApiError as error:
        if error.http_status != 404:
            raise


def _call(core: ApiCore, method: str, obj: Object, manager: str = "kube-apiserver") -> calls.Call:
    resource = BY_KIND[obj["kind"]]
    name = "" if method == "POST" else name_of(obj)
    path = resource.path(namespace_of(obj), name)
    data = orjson.dumps(obj) if method == "POST" else b""
    request = Request(method, path, (("fieldManager", manager),), body=data)
    return calls.parse(request, SYSTEM, core.registry)
