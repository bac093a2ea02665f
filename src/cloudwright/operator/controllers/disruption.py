"""PodDisruptionBudget → how many pods may be evicted now."""

from __future__ import annotations

from cloudwright.model import disruption
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    key_of,
    namespace_of,
)
from cloudwright.model.pods import is_terminal
from cloudwright.model.resources import (
    DEPLOYMENT,
    POD,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
    Resource,
)
from cloudwright.operator.manager import DONE, Controller, Result

_SCALED: dict[str, Resource] = {
    one.kind: one for one in (DEPLOYMENT, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET)
}


class DisruptionController(Controller):
    """Keeps the status of budgets."""

    name = "disruption-controller"

    def setup(self) -> None:
        """Budgets, pods, and what scales pods."""
        self.budgets = self.watch(POD_DISRUPTION_BUDGET)
        self.pods = self.watch(POD, self._of_pod)
        self.scaled = {
            kind: self.watch(resource, self._of_namespace) for kind, resource in _SCALED.items()
        }

    def _of_pod(self, pod: Object) -> list[str]:
        budgets = self.budgets.all(namespace_of(pod))
        return [key_of(one) for one in budgets if disruption.selects(one, pod)]

    def _of_namespace(self, owner: Object) -> list[str]:
        budgets = self.budgets.all(namespace_of(owner))
        return [key_of(one) for one in budgets if disruption.needs_scale(one)]

    async def sync(self, key: str) -> Result:
        """Count, and write the status."""
        budget = self.budgets.get(key)
        if budget is None or deleting(budget):
            return DONE
        pods = [
            pod
            for pod in self.pods.all(namespace_of(budget))
            if disruption.selects(budget, pod) and not is_terminal(pod)
        ]
        expected = self._expected(pods) if disruption.needs_scale(budget) else len(pods)
        status, again = disruption.status_of(budget, pods, expected, self.now())
        await self.api.write_status(POD_DISRUPTION_BUDGET, budget, status)
        return Result(again)

    def _expected(self, pods: list[Object]) -> int:
        """The pods that the controllers of these pods wish for."""
        wished: dict[str, int] = {}
        alone = 0
        for pod in pods:
            found = self._scale_of(pod)
            if found is None:
                alone += 1
            else:
                wished[found["metadata"]["uid"]] = int(found["spec"].get("replicas", 1))
        return sum(wished.values()) + alone

    def _scale_of(self, pod: Object) -> Object | None:
        """The top-most scaled owner of a pod."""
        found: Object | None = None
        reference = controller_of(pod)
        while reference is not None and reference["kind"] in self.scaled:
            cache = self.scaled[reference["kind"]]
            owner = cache.get(f"{namespace_of(pod)}/{reference['name']}")
            if owner is None:
                break
            found, reference = owner, controller_of(owner)
        return found
