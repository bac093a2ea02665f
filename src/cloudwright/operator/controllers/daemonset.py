"""DaemonSet → one pod on each node that wants one."""

from __future__ import annotations

from cloudwright.model.objects import Object, deleting, key_of, labels_of, name_of
from cloudwright.model.resources import DAEMON_SET, NODE
from cloudwright.operator.controllers.revisioned import Revisioned
from cloudwright.operator.engines import daemonset as engine
from cloudwright.operator.engines.history import HASH, hash_of
from cloudwright.operator.manager import DONE, Result


class DaemonSetController(Revisioned):
    """Owns pods and revisions."""

    name = "daemonset-controller"
    resource = DAEMON_SET

    def setup(self) -> None:
        """Also the nodes."""
        super().setup()
        self.nodes = self.manager.cache(NODE)
        self.nodes.subscribe(self._node_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _placement(old) != _placement(new):
            self.queue.add_all(key_of(owner) for owner in self.owners.all())

    async def sync(self, key: str) -> Result:
        """Start and end pods, roll to a new template, write the status."""
        owner = self.owners.get(key)
        if owner is None:
            self.expectations.forget(key)
            return DONE
        owned, pending = await self.claimed(key, owner)
        if deleting(owner):
            return DONE
        revision, known = await self.history(owner)
        nodes, now = self.nodes.all(), self.now()
        wanted_hash = hash_of(revision)
        if pending is None:
            step = engine.manage(owner, nodes, owned)
            if not step.create and not step.delete:
                step = engine.roll(owner, nodes, owned, wanted_hash, now)
            for pod in step.delete:
                await self.delete_pod(key, owner, pod)
            for node in step.create:
                await self.create_pod(key, owner, engine.new_pod(owner, node, wanted_hash))
        status = engine.status_of(owner, nodes, owned, wanted_hash, now)
        await self.api.write_status(DAEMON_SET, owner, status)
        hashes = {labels_of(pod).get(HASH) for pod in owned} | {wanted_hash}
        await self.forget(owner, known, {name_of(one) for one in known if hash_of(one) in hashes})
        waits = [engine.available_in(owner, owned, now), pending]
        return Result(min((wait for wait in waits if wait is not None), default=None))


def _placement(node: Object) -> object:
    return (node["metadata"].get("labels"), (node.get("spec") or {}).get("taints"))
