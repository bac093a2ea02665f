"""``PUT`` on an object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cloudwright.apiserver import bodies, fieldchecks, gotypes, options, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, forbidden
from cloudwright.apiserver.options import WriteOptions
from cloudwright.apiserver.verbs import show
from cloudwright.client.transport import Reply
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore


# Kinds that a PUT may create, as upstream's strategies say (AllowCreateOnUpdate).
_CREATED = frozenset(
    {
        *(("", plural) for plural in ("endpoints", "events", "limitranges", "services")),
        ("coordination.k8s.io", "leases"),
        ("events.k8s.io", "events"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
    }
)


async def update(core: ApiCore, call: Call) -> Reply:
    """200 with the changed object, 201 with a new one of a kind that a PUT may create. Without a
    ``resourceVersion`` the last writer wins, where the kind allows that.
    """
    wanted = options.read(call)
    plain = gotypes.plain(call)
    if plain is not None:
        given = plain
    else:
        given = bodies.read(call)
        wanted = options.with_doubled(wanted, call, given)
        writes.check_kind(call, given)
        given = fieldchecks.check(call, given, wanted)
    writes.check_place(call, given)

    def alter(_old: Object) -> Object:
        return {**given, "metadata": dict(given["metadata"])}

    attempts = core.config.patch_attempts
    try:
        written = await writes.change(core, call, alter, attempts=attempts, wanted=wanted)
    except ApiError as error:
        creates = (call.group, call.plural) in _CREATED and not call.subresource
        if error.http_status != 404 or not creates or given["metadata"].get("resourceVersion"):
            raise
        return await _create(core, call, wanted)
    return show.record(core, call, written.record)


async def _create(core: ApiCore, call: Call, wanted: WriteOptions) -> Reply:
    """Create what was to be changed; that is a right of its own."""
    asked = replace(call, verb="create").attributes
    verdict = await core.authorizer.authorize(call.user, asked)
    if not verdict.allowed:
        reason = f": {verdict.reason}" if verdict.reason else ""
        message = asked.denial(call.user.name) + reason
        raise forbidden(call.group, call.plural, call.name, message)
    given = bodies.read(call)
    written = await writes.create(core, call, given, wanted)
    return show.record(core, call, written.record, 201)
