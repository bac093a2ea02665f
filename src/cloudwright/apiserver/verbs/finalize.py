"""``PUT namespaces/NAME/finalize``: what held a namespace back is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright.apiserver import bodies, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


async def finalize(core: ApiCore, call: Call) -> Reply:
    """Replace ``spec.finalizers``; a namespace that is being deleted and has none left goes."""
    given = bodies.read(call)
    writes.check_names(call, given)
    spec = given.get("spec") or {}
    finalizers = spec.get("finalizers") or [] if isinstance(spec, dict) else None
    if not isinstance(finalizers, list) or any(not isinstance(one, str) for one in finalizers):
        raise bad_request("spec.finalizers must be a list of names")

    def alter(old: Object) -> Object:
        old["metadata"]["resourceVersion"] = given["metadata"].get("resourceVersion") or ""
        old["spec"] = {**(old.get("spec") or {}), "finalizers": finalizers}
        if not finalizers:
            del old["spec"]["finalizers"]
        return old

    written = await writes.change(core, call, alter, attempts=core.config.patch_attempts)
    return show.record(core, call, written.record)
