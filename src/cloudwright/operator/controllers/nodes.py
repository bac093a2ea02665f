"""Silent nodes are not ready; what a node's conditions say, its taints and pods say too."""

from __future__ import annotations

from cloudwright.model import conditions
from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.pods import is_ready
from cloudwright.model.resources import LEASE, NODE, POD
from cloudwright.operator.engines import nodes as engine
from cloudwright.operator.engines import taints
from cloudwright.operator.engines.actions import Note
from cloudwright.operator.engines.templates import copy
from cloudwright.operator.manager import DONE, Controller, Result

NODE_NAME = "nodeName"
"""Index of pods."""


def of_node(pod: Object) -> list[str]:
    """The node that a pod is on."""
    name = (pod.get("spec") or {}).get("nodeName")
    return [str(name)] if name else []


class NodeController(Controller):
    """Keys are nodes. The node itself says when it is ready again."""

    name = "node-controller"
    concurrency = 1

    def setup(self) -> None:
        """Nodes, their Leases, and the pods on them."""
        self.sightings: dict[str, engine.Sighting] = {}
        self.nodes = self.watch(NODE)
        self.leases = self.watch(LEASE, self._of_lease)
        self.pods = self.manager.cache(POD)
        self.pods.index(NODE_NAME, of_node)

    def _of_lease(self, lease: Object) -> list[str]:
        ours = namespace_of(lease) == self.manager.config.lease_namespace
        return [name_of(lease)] if ours else []

    async def sync(self, key: str) -> Result:
        """Look at the Lease again when it would become stale."""
        node = self.nodes.get(key)
        if node is None:
            self.sightings.pop(key, None)
            return DONE
        left = self._left(key)
        if left is not None and left <= 0:
            status = engine.silenced(node, self.now())
            if status is not None:
                node = await self.api.write_status(NODE, node, status)
                message = f"No renewed Lease for {self.manager.config.lease_grace:.0f} s"
                await self.api.tell(node, [Note("Warning", "NodeNotReady", message)])
        wish = taints.wanted(node, self.now())
        if wish is not None:
            changed = copy(node)
            changed.setdefault("spec", {})["taints"] = wish
            await self.api.update(NODE, changed)
        if taints.reported(node) and taints.ready(node) != "True":
            await self._pods_not_ready(key)
        return Result(left) if left is not None and left > 0 else DONE

    def _left(self, key: str) -> float | None:
        """Seconds until the Lease is stale; ``None``: the node never promised to renew one."""
        now = self.manager.clock.monotonic()
        lease = self.leases.get(f"{self.manager.config.lease_namespace}/{key}")
        if lease is None and key not in self.sightings:
            return None
        sighting = engine.sight(self.sightings.get(key), lease, now)
        self.sightings[key] = sighting
        return engine.stale_in(sighting, self.manager.config.lease_grace, now)

    async def _pods_not_ready(self, node: str) -> None:
        """Pods of a node that is not ready get no requests."""
        for pod in self.pods.found(NODE_NAME, node):
            if not is_ready(pod):
                continue
            status = copy(pod)["status"]
            status["conditions"] = conditions.set_condition(
                status.get("conditions"), "Ready", "False", "", "", self.now()
            )
            await self.api.write_status(POD, pod, status)
            await self.api.tell(pod, [Note("Warning", "NodeNotReady", "Node is not ready")])
