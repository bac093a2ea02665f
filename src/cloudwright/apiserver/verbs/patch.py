"""``PATCH`` on an object or its status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright.apiserver import bodies, fieldchecks, options, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.patches import Patch
from cloudwright.apiserver.verbs import apply, show
from cloudwright.client.transport import Reply
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def patch(core: ApiCore, call: Call) -> Reply:
    """200 with the changed object. Tries again when somebody else writes in between, unless the
    patch names a ``resourceVersion``.
    """
    kind = bodies.media_type(call.request.headers)
    if kind == apply.MEDIA_TYPE:
        return await apply.apply(core, call)
    change = Patch(call)
    wanted = options.read(call, kind)

    def alter(old: Object) -> Object:
        seen = old["metadata"].get("resourceVersion")
        new = change.apply(old)
        writes.check_kind(call, new)
        call.warnings.clear()
        new = fieldchecks.check(call, new, wanted)
        # The version of what it was applied to is not one that the user asked for; a patch may
        # test it, though, and one that names it is refused on a newer object: there it differs.
        if new["metadata"].get("resourceVersion") == seen:
            new["metadata"].pop("resourceVersion", None)
        return new

    attempts = core.config.patch_attempts
    written = await writes.change(core, call, alter, attempts=attempts, wanted=wanted)
    return show.record(core, call, written.record)
