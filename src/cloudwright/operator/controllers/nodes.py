"""Marks nodes whose Lease is stale as not ready."""

from __future__ import annotations

from cloudwright.model.objects import Object, name_of, namespace_of
from cloudwright.model.resources import LEASE, NODE
from cloudwright.operator.engines import nodes as engine
from cloudwright.operator.engines.actions import Note
from cloudwright.operator.manager import DONE, Controller, Result


class NodeController(Controller):
    """Keys are nodes. The node itself says when it is ready again."""

    name = "node-controller"
    concurrency = 1

    def setup(self) -> None:
        """Nodes and their Leases."""
        self.sightings: dict[str, engine.Sighting] = {}
        self.nodes = self.watch(NODE)
        self.leases = self.watch(LEASE, self._of_lease)

    def _of_lease(self, lease: Object) -> list[str]:
        ours = namespace_of(lease) == self.manager.config.lease_namespace
        return [name_of(lease)] if ours else []

    async def sync(self, key: str) -> Result:
        """Look at the Lease again when it would become stale."""
        node = self.nodes.get(key)
        if node is None:
            self.sightings.pop(key, None)
            return DONE
        now = self.manager.clock.monotonic()
        grace = self.manager.config.lease_grace
        lease = self.leases.get(f"{self.manager.config.lease_namespace}/{key}")
        if lease is None and key not in self.sightings:
            return DONE  # it never promised to renew one
        sighting = engine.sight(self.sightings.get(key), lease, now)
        self.sightings[key] = sighting
        left = engine.stale_in(sighting, grace, now)
        if left > 0:
            return Result(left)
        status = engine.silenced(node, self.now())
        if status is not None:
            await self.api.write_status(NODE, node, status)
            message = f"No renewed Lease for {grace:.0f} s"
            await self.api.tell(node, [Note("Warning", "NodeNotReady", message)])
        return DONE
