"""Pods without a node, never placed, or too many that ended, are removed by force."""

from __future__ import annotations

import anyio

from cloudwright._base.errors import CloudwrightError, NotFoundError
from cloudwright.model.objects import Object, key_of, name_of, namespace_of, uid_of
from cloudwright.model.resources import NODE, POD
from cloudwright.operator.controllers.nodes import NODE_NAME, of_node
from cloudwright.operator.engines import podgc as engine
from cloudwright.operator.engines.actions import Delete
from cloudwright.operator.manager import DONE, Controller, Result

QUARANTINE = 40.0
"""Seconds that a node must be missing before its pods go."""
MOST_ENDED = 12500
_SWEEP = 60.0


class PodGarbageCollector(Controller):
    """Keys are pods."""

    name = "pod-garbage-collector"
    concurrency = 1

    def setup(self) -> None:
        """Pods and nodes."""
        self.missing: dict[str, float] = {}
        self.pods = self.watch(POD)
        self.pods.index(NODE_NAME, of_node)
        self.nodes = self.watch(NODE, lambda _: ())
        self.nodes.subscribe(self._node)

    def _node(self, _old: Object | None, new: Object | None) -> None:
        node = new or _old or {}
        self.missing.pop(name_of(node), None)
        self.queue.add_all(key_of(pod) for pod in self.pods.found(NODE_NAME, name_of(node)))

    async def sync(self, key: str) -> Result:
        """Remove the pod if nobody else would."""
        pod = self.pods.get(key)
        if pod is None:
            return DONE
        node = of_node(pod)
        why = engine.lost(pod, self.nodes.get(node[0]) if node else None)
        if why == engine.ORPHANED:
            now = self.manager.clock.monotonic()
            left = self.missing.setdefault(node[0], now) + QUARANTINE - now
            if left > 0:
                return Result(left)
            if await self._exists(node[0]):
                return DONE
        if why:
            await self._remove(pod, why)
        return DONE

    async def _exists(self, node: str) -> bool:
        try:
            await self.api.get(NODE, "", node)
        except NotFoundError:
            return False
        return True

    async def _remove(self, pod: Object, why: str = "") -> None:
        status = engine.failed(pod, why, self.now())
        if status is not None:
            await self.api.write_status(POD, pod, status)
        where = namespace_of(pod), name_of(pod)
        try:
            await self.api.perform(Delete(POD, *where, uid_of(pod), grace_seconds=0))
        except NotFoundError:
            return

    async def background(self) -> None:
        """Forget ended pods when there are too many."""
        while True:
            await anyio.sleep(_SWEEP)
            for pod in engine.surplus(self.pods.all(), MOST_ENDED):
                try:
                    await self._remove(pod)
                except CloudwrightError:
                    self.queue.add(key_of(pod))
