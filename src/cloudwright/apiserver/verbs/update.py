"""``PUT`` on an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright.apiserver import bodies, fieldchecks, options, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def update(core: ApiCore, call: Call) -> Reply:
    """200 with the changed object. Without a ``resourceVersion`` the last writer wins, where the
    kind allows that.
    """
    wanted = options.read(call)
    given = bodies.decode_object(call.request.body, bodies.media_type(call.request.headers))
    wanted = options.with_doubled(wanted, call, given)
    writes.check_kind(call, given)
    given = fieldchecks.check(call, given, wanted)
    writes.check_place(call, given)

    def alter(_old: Object) -> Object:
        return {**given, "metadata": dict(given["metadata"])}

    attempts = core.config.patch_attempts
    written = await writes.change(core, call, alter, attempts=attempts, wanted=wanted)
    return show.record(core, call, written.record)
