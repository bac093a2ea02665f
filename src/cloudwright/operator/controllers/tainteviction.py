"""Taints ``NoExecute`` → pods that do not tolerate them (any longer) are deleted."""

from __future__ import annotations

from cloudwright._base.errors import NotFoundError
from cloudwright.model.objects import (
    Object,
    deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from cloudwright.model.pods import is_terminal
from cloudwright.model.resources import NODE, POD
from cloudwright.operator.controllers.nodes import NODE_NAME, of_node
from cloudwright.operator.engines import podgc, taints
from cloudwright.operator.engines.actions import Delete, Note
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result


class TaintEvictionController(Controller):
    """Keys are pods. How long one tolerates a taint counts from when it was seen first."""

    name = "taint-eviction-controller"

    def setup(self) -> None:
        """Pods, and those of nodes whose taints changed."""
        self.since: dict[str, float] = {}
        self.pods = self.watch(POD)
        self.pods.index(NODE_NAME, of_node)
        self.nodes = self.manager.cache(NODE)
        self.nodes.subscribe(self._node)

    def _node(self, old: Object | None, new: Object | None) -> None:
        if new is not None and taints.executing(old) != taints.executing(new):
            self.queue.add_all(key_of(pod) for pod in self.pods.found(NODE_NAME, name_of(new)))

    async def sync(self, key: str) -> Result:
        """Delete the pod when its patience is over."""
        pod = self.pods.get(key)
        if pod is None or deleting(pod) or not of_node(pod):
            self.since.pop(key, None)
            return DONE
        marks = taints.executing(self.nodes.get(of_node(pod)[0]))
        patience = taints.patience(marks, pod["spec"].get("tolerations") or ())
        if patience is None:
            if self.since.pop(key, None) is not None:
                text = f"Cancelling deletion of Pod {key}"
                await self.api.tell(pod, [Note("Normal", "TaintManagerEviction", text)])
            return DONE
        now = self.manager.clock.monotonic()
        left = self.since.setdefault(key, now) + patience - now
        if left > 0:
            return Result(left)
        await self._end(pod)
        self.since.pop(key, None)
        return DONE

    async def _end(self, pod: Object) -> None:
        text = f"Marking for deletion Pod {key_of(pod)}"
        await self.api.tell(pod, [Note("Normal", "TaintManagerEviction", text)])
        if not is_terminal(pod):
            status = copy(pod).get("status") or {}
            told = "Taint manager: deleting due to NoExecute taint"
            status["conditions"] = podgc.disrupted(
                status, "DeletionByTaintManager", told, self.now()
            )
            await self.api.write_status(POD, pod, status)
        try:
            await self.api.perform(Delete(POD, namespace_of(pod), name_of(pod), uid_of(pod)))
        except NotFoundError:
            return
