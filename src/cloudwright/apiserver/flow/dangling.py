"""Tells in the status of each FlowSchema whether its priority level exists (``Dangling``)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from cloudwright._base import logs
from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import calls, encoding
from cloudwright.apiserver.errors import ApiError, CompactedError, SlowWatcherError, StoreError
from cloudwright.apiserver.identity import ADMINISTRATORS, User
from cloudwright.apiserver.registry import storage_of
from cloudwright.client.transport import Request
from cloudwright.model.objects import Object, name_of
from cloudwright.model.resources import FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_log = logs.get("apiserver.flow")
_USER = User("system:apiserver", (ADMINISTRATORS,))
_PREFIX = f"/{FLOW_SCHEMA.group}/"
_SCHEMAS = storage_of(FLOW_SCHEMA.group, FLOW_SCHEMA.plural)
_LEVELS = storage_of(PRIORITY_LEVEL_CONFIGURATION.group, PRIORITY_LEVEL_CONFIGURATION.plural)
_RETRY_SECONDS = 1.0
_KIND = "Dangling"


async def run(core: ApiCore) -> None:
    """Keep the conditions true until cancelled."""
    while True:
        try:
            await _follow(core)
        except (CompactedError, SlowWatcherError):
            continue
        except StoreError as error:
            _log.warning("FlowSchemas cannot be looked at: %s", error.message)
            await anyio.sleep(_RETRY_SECONDS)


async def _follow(core: ApiCore) -> None:
    watch = core.store.watch(_PREFIX, after=await core.store.newest())
    try:
        while True:
            await tell(core)
            while not await watch.batch():
                pass  # only the progress grew
    finally:
        watch.close()


async def tell(core: ApiCore) -> None:
    """Write every condition that is another than it should be; all at once, so that the writes
    share a commit.
    """
    levels = {one.key.rpartition("/")[2] for one in (await core.store.page(_LEVELS)).records}
    async with anyio.create_task_group() as tasks:
        for record in (await core.store.page(_SCHEMAS)).records:
            schema = encoding.decode(record.value)
            if altered(schema, levels, "") is not schema:
                tasks.start_soon(_write, core, schema, levels)


async def _write(core: ApiCore, schema: Object, levels: set[str]) -> None:
    from cloudwright.apiserver import writes

    path = FLOW_SCHEMA.path("", name_of(schema), "status")
    headers = {"user-agent": "api-priority-and-fairness-config-consumer-v1"}
    call = calls.parse(Request("PUT", path, (), headers), _USER, core.registry)
    change = partial(altered, levels=levels, now=rfc3339(core.clock.now()))
    try:
        await writes.change(core, call, change, attempts=5)
    except ApiError as error:
        if error.http_status not in (404, 409):
            _log.warning("a FlowSchema's condition is not written: %s", error.message)


def altered(schema: Object, levels: set[str], now: str) -> Object:
    """The schema with a true condition; itself when it has one."""
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    found = level in levels
    said = "and it exists" if found else "but there is no such object"
    wanted = {
        "type": _KIND,
        "status": "False" if found else "True",
        "reason": "Found" if found else "NotFound",
        "message": "This FlowSchema references the PriorityLevelConfiguration object named "
        f'"{level}" {said}',
    }
    conditions = list((schema.get("status") or {}).get("conditions") or ())
    before: Object = next((one for one in conditions if one.get("type") == _KIND), {})
    if all(before.get(key) == value for key, value in wanted.items()):
        return schema
    since = before.get("lastTransitionTime")
    if before.get("status") != wanted["status"] or not since:
        since = now
    others = [one for one in conditions if one.get("type") != _KIND]
    condition = {**wanted, "lastTransitionTime": since}
    status = {**(schema.get("status") or {}), "conditions": [*others, condition]}
    return {**schema, "status": status}
