"""Admission of ``CONNECT``: who starts a process in a pod, or reaches its ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudwright.apiserver.admission.review import Review
from cloudwright.apiserver.calls import Call
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_KINDS = {
    "exec": "PodExecOptions",
    "attach": "PodAttachOptions",
    "portforward": "PodPortForwardOptions",
}


async def admit(core: ApiCore, call: Call) -> None:
    """Let admission refuse an exec, attach, port-forward or a proxied request.

    Raises:
        ApiError: a webhook or policy says no.
    """
    review = Review(
        user=call.user,
        operation="CONNECT",
        resource=call.served.resource,
        subresource=call.subresource,
        namespace=call.namespace,
        name=call.name,
        obj=_options(call),
        old=None,
        dry_run=False,
        query=call.request.query,
    )
    for rule in core.admission:
        await rule.mutate(review)
    for rule in core.admission:
        await rule.validate(review)


def _options(call: Call) -> Object:
    """The options in the query as the object that upstream shows."""
    found: dict[str, Any] = {"kind": _KINDS.get(call.subresource, ""), "apiVersion": "v1"}
    query = call.query
    if call.subresource == "proxy":
        found["kind"] = f"{call.served.resource.kind}ProxyOptions"
        path = call.request.path.partition("/proxy")[2]
        return {**found, "path": path} if path else found
    if call.subresource == "portforward":
        ports = [int(text) for text in query.every("ports") if text.isdigit()]
        return {**found, "ports": ports} if ports else found
    for name in ("stdin", "stdout", "stderr", "tty"):
        if query.flag(name):
            found[name] = True
    if query.get("container"):
        found["container"] = query.get("container")
    if call.subresource == "exec":
        found["command"] = query.every("command")
    return found
