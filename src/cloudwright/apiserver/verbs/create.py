"""``POST`` on a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright.apiserver import bodies, gotypes, options, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def create(core: ApiCore, call: Call) -> Reply:
    """201 with the new object."""
    wanted = options.read(call)
    obj = gotypes.plain(call)
    if obj is not None:
        written = await writes.create(core, call, obj, wanted, checked=True)
        return show.record(core, call, written.record, 201)
    obj = bodies.read(call)
    wanted = options.with_doubled(wanted, call, obj)
    written = await writes.create(core, call, obj, wanted)
    return show.record(core, call, written.record, 201)
