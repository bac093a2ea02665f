"""ReplicaSet → pods, and the same for ReplicationControllers."""

from __future__ import annotations

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import Object, deleting
from cloudwright.model.resources import REPLICA_SET, REPLICATION_CONTROLLER
from cloudwright.operator.controllers.podowner import PodOwner
from cloudwright.operator.engines import replicaset as engine
from cloudwright.operator.manager import DONE, Result


class ReplicaSetController(PodOwner):
    """Owns pods."""

    name = "replicaset-controller"
    resource = REPLICA_SET

    async def sync(self, key: str) -> Result:
        """Make or end pods, then write the status."""
        replica_set = self.owners.get(key)
        if replica_set is None:
            self.expectations.forget(key)
            return DONE
        owned, pending = await self.claimed(key, replica_set)
        failure: CloudwrightError | None = None
        if pending is None and not deleting(replica_set):
            failure = await self._manage(key, replica_set, owned)
        text = failure.message if failure else None
        status = engine.status_of(replica_set, owned, self.now(), text)
        await self.api.write_status(self.resource, replica_set, status)
        if failure is not None:
            raise failure
        waits = [engine.available_in(replica_set, owned, self.now()), pending]
        return Result(min((wait for wait in waits if wait is not None), default=None))

    async def _manage(
        self, key: str, replica_set: Object, owned: list[Object]
    ) -> CloudwrightError | None:
        """Bring the number of pods to the wish; returns what went wrong, if anything did."""
        change = engine.change(replica_set, owned)
        try:
            for _ in range(change.create):
                await self.create_pod(key, replica_set, engine.new_pod(replica_set))
            for pod in change.delete:
                await self.delete_pod(key, replica_set, pod)
        except CloudwrightError as error:
            return None if self.api.namespace_ends(error) else error
        return None


class ReplicationControllerController(ReplicaSetController):
    """The same for the older kind, whose selector is a plain map of labels."""

    name = "replication-controller"
    resource = REPLICATION_CONTROLLER

    def selector_of(self, owner: Object) -> Object | None:
        """The labels as a ``LabelSelector``."""
        return {"matchLabels": owner["spec"].get("selector") or {}}
