"""Kinds that nobody writes: the API server makes them from what it knows when they are read.

``APIService``: the groups and versions that are served here, as upstream's aggregator lists its
own, beside those that others serve, which are stored. ``ComponentStatus``: whether the store
answers (upstream's older health check). What is made cannot be written.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import orjson

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import encoding, priorities, representation, reviews, selection, watches
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    StoreError,
    already_exists,
    forbidden,
    method_not_allowed,
    not_found,
    qualified,
)
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import StreamReply, reply_json
from cloudwright.apiserver.special import Special
from cloudwright.client.transport import Reply
from cloudwright.model import resources
from cloudwright.model.objects import Object, name_of, namespace_of

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

Source = Callable[["ApiCore"], Awaitable[list[Object]]]
_STORED = storage_of(resources.API_SERVICE.group, resources.API_SERVICE.plural)
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_NAMES = uuid.UUID("6f0c9c3e-5f0a-4a57-8f4d-0d3a3b6f6f10")
_MEASURED = "metrics.k8s.io"
_UNMEASURED = {"status": "False", "reason": "NoMeasures", "message": "nothing was measured lately"}
_HEADERS = {"content-type": "application/json"}


async def api_services(core: ApiCore) -> list[Object]:
    """Every ``APIService``: those of what is served here, and the stored ones."""
    page = await core.store.page(_STORED)
    stored = [encoding.decode(record.value) for record in page.records]
    return sorted([*await _local(core), *stored], key=name_of)


async def _local(core: ApiCore) -> list[Object]:
    """One ``APIService`` for each group and version that is served here."""
    found: dict[tuple[str, str], bool] = {}
    for review in reviews.REVIEWS:
        found[review.group, review.version] = False
    for entry in core.registry.all():
        found.setdefault((entry.resource.group, entry.resource.version), entry.custom)
    revision = str(await core.store.newest())
    measured = core.resource_metrics is None or core.resource_metrics.known
    made = [
        _api_service(group, version, custom, revision, rfc3339(core.started))
        for (group, version), custom in found.items()
        if group != resources.API_SERVICE.group
    ]
    for one in made if not measured else ():
        if one["spec"]["group"] == _MEASURED:
            one["status"]["conditions"][0] |= _UNMEASURED
    return made


def _api_service(group: str, version: str, custom: bool, revision: str, now: str) -> Object:
    name = f"{version}.{group}"
    kept = "true" if custom else "onstart"
    first, second = priorities.of(group, version)
    condition: Object = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    return {
        "apiVersion": resources.API_SERVICE.api_version,
        "kind": resources.API_SERVICE.kind,
        "metadata": {
            "name": name,
            "uid": str(uuid.uuid5(_NAMES, name)),
            "resourceVersion": revision,
            "creationTimestamp": now,
            "labels": {"kube-aggregator.kubernetes.io/automanaged": kept},
        },
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": first,
            "versionPriority": second,
        },
        "status": {"conditions": [condition]},
    }


async def pod_metrics(core: ApiCore) -> list[Object]:
    """What pods use, as far as it was measured."""
    return [] if core.resource_metrics is None else await core.resource_metrics.pods()


async def node_metrics(core: ApiCore) -> list[Object]:
    """What nodes use, as far as it was measured."""
    return [] if core.resource_metrics is None else await core.resource_metrics.nodes()


async def component_statuses(core: ApiCore) -> list[Object]:
    """The store's health, under the name that tools know."""
    try:
        await core.store.newest()
        condition = {"type": "Healthy", "status": "True", "message": "ok"}
    except StoreError as error:
        condition = {"type": "Healthy", "status": "False", "message": error.message}
    status = {"apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": "etcd-0"}}
    return [{**status, "conditions": [condition]}]


SOURCES: dict[tuple[str, str], Source] = {
    (resources.API_SERVICE.group, resources.API_SERVICE.plural): api_services,
    ("", resources.COMPONENT_STATUS.plural): component_statuses,
    (_MEASURED, "pods"): pod_metrics,
    (_MEASURED, "nodes"): node_metrics,
}


def is_stored(call: Call) -> bool:
    """Whether this is a write of an object that others serve behind, and that is stored."""
    return call.group == resources.API_SERVICE.group and call.verb in _WRITES


async def write(core: ApiCore, call: Call) -> Reply | StreamReply:
    """Write an ``APIService`` that has a Service; those that are made here are nobody's to write.

    Raises:
        ApiError: 403, the group and version are served here; what the write itself raises.
    """
    if call.name and call.name in _local_names(core):
        message = "the API server itself serves this group and version"
        raise forbidden(call.group, call.plural, call.name, message)
    return await core.verb(call.verb)(core, call)


class Entry(Special):
    """A write of a stored ``APIService``: it may not take a name that is served here."""

    def __init__(self, core: ApiCore, call: Call, new: Object, old: Object | None) -> None:
        self._taken = old is None and name_of(new) in _local_names(core)
        self._error = already_exists(call.group, call.plural, name_of(new))

    async def permit(self) -> None:
        """Raises ``ApiError`` 409."""
        if self._taken:
            raise self._error


def _local_names(core: ApiCore) -> set[str]:
    served = [entry.resource for entry in core.registry.all()] + list(reviews.REVIEWS)
    return {f"{one.version}.{one.group}" for one in served}


async def serve(core: ApiCore, call: Call) -> Reply | StreamReply:
    """Read, list or watch objects that are not stored.

    Raises:
        ApiError: 404, there is none of that name; 405, it was to be written.
    """
    source = SOURCES[call.group, call.plural]
    if call.verb not in ("get", "list", "watch") or call.verb not in call.served.resource.verbs:
        raise method_not_allowed(call.request.method, qualified(call.plural, call.group))
    chosen = selection.of(call)
    if call.verb == "watch":
        return StreamReply(200, _HEADERS, _events(core, call, source))
    found = [
        obj
        for obj in await source(core)
        if chosen.matches(obj) and call.namespace in ("", namespace_of(obj))
    ]
    if call.verb == "get":
        for obj in found:
            if name_of(obj) == call.name:
                return _shown(core, call, [obj], single=True)
        raise not_found(call.group, call.plural, call.name)
    return _shown(core, call, found, single=False)


def _shown(core: ApiCore, call: Call, found: list[Object], *, single: bool) -> Reply:
    form = representation.wanted(call)
    metadata = {"resourceVersion": str(core.store.revision)}
    if form == "table":
        return reply_json(200, representation.table(call, found, metadata, core.clock.now()))
    kind, api_version = call.served.list_kind, call.served.resource.api_version
    if form == "partial":
        found = [encoding.partial(obj) for obj in found]
        kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
    if single:
        return reply_json(200, found[0])
    if form == "plain":
        found = [encoding.bare(obj) for obj in found]
    listed = {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": found}
    return reply_json(200, listed)


async def _events(core: ApiCore, call: Call, source: Source) -> AsyncGenerator[bytes, None]:
    """What is there, then what is added to it, changed and taken away, until the time is over."""
    chosen = selection.of(call)
    limit = core.config.watch_seconds_max
    end = anyio.current_time() + min(call.query.whole("timeoutSeconds") or limit, limit)
    changed = anyio.Event()

    def changes() -> None:
        changed.set()

    initial = call.query.flag("sendInitialEvents")
    core.registry.listeners.append(changes)
    known: dict[str, Object] = {}
    try:
        while True:
            now = {name_of(o): o for o in await source(core) if chosen.matches(o)}
            gone = [watches.line("DELETED", orjson.dumps(known[n])) for n in known.keys() - now]
            new = [watches.line("ADDED", orjson.dumps(now[n])) for n in now if n not in known]
            # What is made here carries the newest revision each time, and does not change.
            new += [
                watches.line("MODIFIED", orjson.dumps(now[n]))
                for n in now
                if n in known and now[n]["spec"].get("service") and now[n] != known[n]
            ]
            if gone or new:
                yield b"".join([*gone, *new])
            known = now
            if initial:
                initial = False
                yield watches.bookmark(call.served, await core.store.newest(), initial_end=True)
            left = end - anyio.current_time()
            if left <= 0:
                return
            with anyio.move_on_after(left):
                await changed.wait()
            changed = anyio.Event()
    finally:
        core.registry.listeners.remove(changes)
