"""The end of a MicroService: what it made goes, in order, before its finalizer does."""

from __future__ import annotations

from cloudwright.model.objects import (
    controller_of,
    deleting,
    finalizers_of,
    name_of,
    owned_by,
)
from cloudwright.model.resources import MICRO_SERVICE
from cloudwright.operator.engines.actions import Draft, Update
from cloudwright.operator.engines.microservice.kinds import CHILDREN, deletion
from cloudwright.operator.engines.microservice.world import FINALIZER, Decision, Ledger, World
from cloudwright.operator.engines.templates import copy

_GO_FIRST = ("Route", "HTTPRoute", "Deployment")


def clean_up(world: World) -> Decision:
    """Route and pods first (they drain with their preStop hooks), then the rest, then the
    finalizer.
    """
    draft = Draft()
    if FINALIZER not in finalizers_of(world.service):
        return Decision(draft.plan())
    every = [*world.children.values(), *world.canary.values()]
    mine = [obj for obj in every if owned_by(obj, world.service)]
    pods = [*world.pods, *world.canary_pods]
    workers = [pod for pod in pods if (controller_of(pod) or {}).get("kind") == "ReplicaSet"]
    first = [obj for obj in mine if obj["kind"] in _GO_FIRST]
    then = [obj for obj in mine if obj["kind"] not in _GO_FIRST]
    for obj in first if first or workers else then:
        if not deleting(obj):
            draft.actions.append(deletion(CHILDREN[obj["kind"]], obj))
    ledger = Ledger(world)
    ledger.count()
    left = [f"{obj['kind']} {name_of(obj)}" for obj in mine]
    left += [f"pod {name_of(pod)}" for pod in workers]
    if not left:
        changed = copy(world.service)
        changed["metadata"]["finalizers"] = [
            entry for entry in finalizers_of(world.service) if entry != FINALIZER
        ]
        draft.actions.append(Update(MICRO_SERVICE, changed))
        draft.note("CleanedUp", "Everything that belonged to it is gone")
        return Decision(draft.plan())
    if ledger.condition("Ready", False, "Terminating", f"waiting for {', '.join(sorted(left))}"):
        draft.note("Terminating", "Removing its route, pods, service and configuration")
    ledger.status["phase"] = "Terminating"
    return Decision(draft.plan(ledger.status))
