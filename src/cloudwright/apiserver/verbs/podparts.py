"""Subresources of pods that are writes: ``ephemeralcontainers`` and ``resize``; ``bindings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from cloudwright.apiserver import bodies
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import bad_request, method_not_allowed
from cloudwright.apiserver.registry import Kind
from cloudwright.apiserver.verbs import get, patch, pods, update
from cloudwright.client.transport import Reply
from cloudwright.model.kinds import pod_changes
from cloudwright.model.resources import POD

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

RULES: Mapping[str, Kind] = {
    "ephemeralcontainers": pod_changes.EPHEMERAL_CONTAINERS,
    "resize": pod_changes.RESIZE,
}


async def alter(core: ApiCore, call: Call) -> Reply:
    """A read or a change of a pod by a subresource with rules of its own."""
    if call.verb == "get":
        return await get.get(core, call)
    call.served = replace(call.served, kind=RULES[call.subresource])
    if call.verb == "update":
        return await update.update(core, call)
    if call.verb == "patch":
        return await patch.patch(core, call)
    raise method_not_allowed(call.request.method, f"pods/{call.subresource}")


async def bind(core: ApiCore, call: Call) -> Reply:
    """``POST bindings``: the binding names the pod."""
    binding = bodies.read(call, "Binding")
    name = (binding.get("metadata") or {}).get("name")
    served = core.registry.find("", "v1", POD.plural)
    if not name or served is None:
        raise bad_request("a binding needs metadata.name")
    named = replace(call, served=served, name=str(name), subresource="binding")
    return await pods.bind(core, named)
