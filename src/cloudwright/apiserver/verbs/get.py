"""``GET`` on an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import (
    ApiError,
    not_found,
    revision_problem,
    version_too_large,
)
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def get(core: ApiCore, call: Call) -> Reply:
    """200 with the newest state, which must not be older than a version that is asked for."""
    await _reached(core, call)
    record = await core.store.get(call.served.key(call.namespace, call.name))
    if record is None:
        raise not_found(call.group, call.plural, call.name)
    return show.record(core, call, record)


async def _reached(core: ApiCore, call: Call) -> None:
    version = call.query.get("resourceVersion")
    if version in ("", "0"):
        return
    if not version.isascii() or not version.isdigit():
        raise ApiError(500, "", revision_problem(version))
    newest = await core.store.newest()
    if int(version) > newest:
        raise version_too_large(int(version), newest)
