"""``binding`` of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudwright._base.clock import rfc3339
from cloudwright.apiserver import bodies, writes
from cloudwright.apiserver.calls import Call
from cloudwright.apiserver.errors import ApiError, bad_request, conflict
from cloudwright.apiserver.replies import reply_json
from cloudwright.client.transport import Reply
from cloudwright.model import conditions
from cloudwright.model.objects import Object

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(core: ApiCore, call: Call) -> Reply:
    """``POST pods/NAME/binding``: give the pod to a node. Each pod is bound once."""
    binding = bodies.read(call, "Binding")
    target, wanted = binding.get("target") or {}, binding.get("metadata") or {}
    if (wanted.get("name") or call.name) != call.name:
        raise bad_request("name in URL does not match name in Binding object")
    node, kind = target.get("name"), target.get("kind") or "Node"
    if kind != "Node":
        text = f'target.kind: Unsupported value: "{kind}": supported values: "Node", "<empty>"'
        raise ApiError(500, "", text)
    if not node:
        raise ApiError(500, "", "target.name: Required value")
    now = rfc3339(core.clock.now())

    def alter(pod: Object) -> Object:
        found = pod["metadata"]
        if wanted.get("uid") and wanted["uid"] != found["uid"]:
            raise conflict("", "pods", call.name, "the pod to bind has another uid")
        if found.get("deletionTimestamp"):
            raise conflict("", "pods/binding", call.name, "the pod is being deleted")
        bound = (pod.get("spec") or {}).get("nodeName")
        if bound:
            raise conflict(
                "",
                "pods/binding",
                call.name,
                f'pod {call.name} is already assigned to node "{bound}"',
            )
        pod["spec"]["nodeName"] = node
        found.setdefault("annotations", {}).update(wanted.get("annotations") or {})
        status = pod.setdefault("status", {})
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
        others = conditions.remove_condition(status.get("conditions"), "PodScheduled")
        status["conditions"] = [*others, scheduled]
        found["resourceVersion"] = ""
        return pod

    await writes.change(core, call, alter, attempts=core.config.patch_attempts)
    return reply_json(201, _CREATED)
