"""Deployment → ReplicaSets: rolling updates, Recreate, history, pause, progress deadline."""

from __future__ import annotations

from cloudwright.model.objects import Object, controller_of, key_of, namespace_of
from cloudwright.model.resources import DEPLOYMENT, POD, REPLICA_SET
from cloudwright.operator.engines import deployment as engine
from cloudwright.operator.engines import ownership
from cloudwright.operator.engines.actions import Patch
from cloudwright.operator.manager import DONE, Controller, Result


class DeploymentController(Controller):
    """Owns ReplicaSets."""

    name = "deployment-controller"

    def setup(self) -> None:
        """Deployments, their ReplicaSets, and the pods of those (Recreate waits for their end)."""
        self.awake = self.now()
        self.deployments = self.watch(DEPLOYMENT)
        self.replica_sets = self.watch(REPLICA_SET, self._of_replica_set)
        self.pods = self.watch(POD, self._of_pod)

    def _of_replica_set(self, obj: Object) -> list[str]:
        owner = controller_of(obj)
        if owner is not None:
            return [f"{namespace_of(obj)}/{owner['name']}"] if owner["kind"] == "Deployment" else []
        return [key_of(d) for d in self.deployments.all(namespace_of(obj)) if _selects(d, obj)]

    def _of_pod(self, obj: Object) -> list[str]:
        """Only Recreate looks at pods; a rolling update follows its ReplicaSets' status."""
        owner = controller_of(obj)
        if owner is None or owner["kind"] != "ReplicaSet":
            return []
        replica_set = self.replica_sets.get(f"{namespace_of(obj)}/{owner['name']}")
        found = self._of_replica_set(replica_set) if replica_set else []
        return [key for key in found if _recreates(self.deployments.get(key))]

    async def sync(self, key: str) -> Result:
        """One step of the roll-out."""
        deployment = self.deployments.get(key)
        if deployment is None:
            return DONE
        claim = ownership.claim(deployment, self.replica_sets.all(namespace_of(deployment)))
        mine = [*claim.mine]
        for orphan in claim.adopt:
            adopted = ownership.adopted(deployment, orphan)
            mine.append(await self.api.update(REPLICA_SET, adopted))
        for stranger in claim.release:
            await self.api.update(REPLICA_SET, ownership.released(deployment, stranger))
        pods = [pod for rs in mine for pod in self.pods.owned_by(rs)]
        plan = engine.plan(deployment, mine, pods, self.now(), self.awake)
        # The revision is recorded after the status: a crash in between repeats both.
        late = [action for action in plan.actions if isinstance(action, Patch)]
        for action in plan.actions:
            if action not in late:
                await self.api.perform(action)
        await self.api.write_status(DEPLOYMENT, deployment, plan.status)
        for action in late:
            await self.api.perform(action)
        await self.api.tell(deployment, plan.notes)
        return Result(plan.requeue_after)


def _selects(deployment: Object, replica_set: Object) -> bool:
    try:
        return bool(ownership.claim(deployment, [replica_set]).adopt)
    except ValueError:
        return False


def _recreates(deployment: Object | None) -> bool:
    strategy = (deployment or {}).get("spec", {}).get("strategy") or {}
    return bool(strategy.get("type") == "Recreate")
