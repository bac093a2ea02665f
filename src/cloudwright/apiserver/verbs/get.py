"""``GET`` on an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import not_found
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def get(core: ApiCore, call: Call) -> Reply:
    """200 with the newest state."""
    record = await core.store.get(call.served.key(call.namespace, call.name))
    if record is None:
        raise not_found(call.group, call.plural, call.name)
    return show.record(core, call, record)
