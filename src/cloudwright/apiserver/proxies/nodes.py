"""What a node answers below ``nodes/NAME/proxy``: the few of a kubelet's paths that we have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from cloudwright.apiserver import encoding
from cloudwright.apiserver.calls import Call, Query
from cloudwright.apiserver.errors import no_such_method, not_found
from cloudwright.apiserver.proxies import targets
from cloudwright.apiserver.registry import storage_of
from cloudwright.apiserver.replies import StreamReply, reply_json
from cloudwright.apiserver.streams import podlogs
from cloudwright.client.transport import Reply
from cloudwright.model.streams import PodStreams

if TYPE_CHECKING:
    from cloudwright.apiserver.core import ApiCore

_TEXT = {"content-type": "text/plain; charset=utf-8"}


async def answer(
    core: ApiCore, call: Call, path: str, streams: PodStreams | None
) -> Reply | StreamReply:
    """``/healthz``, ``/pods`` and ``/containerLogs/NAMESPACE/POD/CONTAINER`` of a node.

    Raises:
        ApiError: 404, no such node or pod there; 405, not a read.
    """
    name = targets.asked(call.name, "node").name
    if await core.store.get(f"{storage_of('', 'nodes')}/{name}") is None:
        raise not_found("", "nodes", name)
    if call.request.method not in ("GET", "HEAD"):
        raise no_such_method()
    words = [word for word in path.split("/") if word]
    if words == ["healthz"]:
        return Reply(200, _TEXT, b"ok")
    if words == ["pods"]:
        return reply_json(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {},
                                "items": await _pods(core, name)})  # fmt: skip
    if len(words) == 4 and words[0] == "containerLogs" and streams is not None:
        _, namespace, pod, container = words
        record = await core.store.get(f"{storage_of('', 'pods')}{namespace}/{pod}")
        found = None if record is None else encoding.decode(record.value)
        if found is None or found["spec"].get("nodeName") != name:
            raise not_found("", "pods", pod)
        query = Query([("container", container), *call.request.query])
        return await podlogs.answer(streams, namespace, pod, query)
    return Reply(404, _TEXT, b"404 page not found\n")


async def _pods(core: ApiCore, node: str) -> list[object]:
    found: list[object] = []
    page = await core.store.page(storage_of("", "pods"))
    for record in page.records:
        if node.encode() in record.value:  # a cheap look first
            pod = orjson.loads(record.value)
            if pod["spec"].get("nodeName") == node:
                pod["metadata"].pop("managedFields", None)
                found.append(pod)
    return found
