"""The life cycle of a MicroService, one decision at a time.

gone? clean up → validate → wait for dependencies → sync children → wait for the roll-out (or go
back) → postRolloutHook → Ready. The status is written before the actions are done, so a crash
between the two repeats the action and never the decision.
"""

from __future__ import annotations

from cloudwright.model.conditions import find
from cloudwright.model.objects import (
    Object,
    controller_of,
    deleting,
    finalizers_of,
    name_of,
    namespace_of,
    owned_by,
    uid_of,
)
from cloudwright.model.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    MICRO_SERVICE,
    ROUTE,
    SERVICE,
    Resource,
)
from cloudwright.operator.engines.actions import Delete, Draft, Update
from cloudwright.operator.engines.microservice import children as render
from cloudwright.operator.engines.microservice import hooks, rollout
from cloudwright.operator.engines.microservice.world import (
    FINALIZER,
    Decision,
    HookCall,
    Ledger,
    World,
    template_version,
    version_of,
)
from cloudwright.operator.engines.revisions import replicas_of
from cloudwright.operator.engines.sync import Clash, bring
from cloudwright.operator.engines.templates import copy

CHILDREN: dict[str, Resource] = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Service": SERVICE,
    "Route": ROUTE,
}
"""In the order in which they are made."""


def decide(world: World) -> Decision:
    """What to do next for one MicroService."""
    if deleting(world.service):
        return _clean_up(world)
    draft = Draft()
    if FINALIZER not in finalizers_of(world.service):
        # Nothing is made before its removal is certain.
        changed = copy(world.service)
        changed["metadata"]["finalizers"] = [*finalizers_of(world.service), FINALIZER]
        draft.actions.append(Update(MICRO_SERVICE, changed))
        return Decision(draft.plan())
    ledger = Ledger(world)
    ledger.count()
    if world.problems:
        return _invalid(ledger, draft)
    ledger.condition("Valid", True, "Valid")
    ledger.status["url"] = render.url_of(world.service)
    waiting = _dependencies(ledger, draft)
    if rollout.starts(world):
        if waiting and not rollout.goes_back(world):
            return _wait(ledger, draft, waiting)
        rollout.begin(ledger, draft)
    rollout.advance(ledger, draft)
    wish = rollout.wished_deployment(ledger)
    try:
        _sync(ledger, draft, wish)
    except Clash as clash:
        return _clash(ledger, draft, clash)
    call = None
    if not rollout.settled(world, wish):
        _report_progress(ledger)
    elif draft.actions:
        _report_sync(ledger)
    else:
        call = _after(ledger, draft)
    return Decision(draft.plan(ledger.status), call)


# -- before the roll-out


def _invalid(ledger: Ledger, draft: Draft) -> Decision:
    message = "; ".join(ledger.world.problems)
    before = (ledger.world.service.get("status") or {}).get("conditions") or []
    known = any(c["type"] == "Valid" and c.get("message") == message for c in before)
    ledger.condition("Valid", False, "Invalid", message)
    if not known:
        draft.note("Invalid", message, warning=True)
    ledger.condition("Ready", False, "Invalid", message)
    ledger.status["phase"] = "Failed"
    return Decision(draft.plan(ledger.status))


def _dependencies(ledger: Ledger, draft: Draft) -> list[str]:
    waiting = rollout.waiting_for(ledger.world)
    if not ledger.world.dependencies:
        ledger.drop("DependenciesReady")
        return []
    if waiting:
        message = _waiting_message(ledger.world, waiting)
        if ledger.condition("DependenciesReady", False, "NotReady", message):
            draft.note("WaitingForDependencies", message[:1].upper() + message[1:])
    elif ledger.condition("DependenciesReady", True, "Ready", "every dependency is ready"):
        draft.note("DependenciesReady", "Every dependency is ready")
    return waiting


def _wait(ledger: Ledger, draft: Draft, waiting: list[str]) -> Decision:
    message = _waiting_message(ledger.world, waiting)
    ledger.condition("Ready", False, "WaitingForDependencies", message)
    ledger.status["phase"] = "WaitingForDependencies"
    return Decision(draft.plan(ledger.status))


def _waiting_message(world: World, waiting: list[str]) -> str:
    text = f"waiting for {', '.join(waiting)}"
    if world.circle:
        text += f"; they wait for each other: {' → '.join(world.circle)}"
    return text


# -- children


def wishes(service: Object, deployment: Object) -> dict[str, Object]:
    """The wished children by kind; a kind that is missing should not exist."""
    result = {"Deployment": deployment, "Service": render.cluster_service(service)}
    if service["spec"].get("config") is not None:
        result["ConfigMap"] = render.config_map(service)
    route = render.route(service)
    if route is not None:
        result["Route"] = route
    return result


def _sync(ledger: Ledger, draft: Draft, deployment: Object) -> None:
    world = ledger.world
    wanted = wishes(world.service, deployment)
    for kind, resource in CHILDREN.items():
        actual = world.children.get(kind)
        wish = wanted.get(kind)
        if wish is not None:
            action = bring(resource, world.service, wish, actual)
            if action is not None:
                draft.actions.append(action)
                verb = "Created" if actual is None else "Updated"
                draft.note(f"{verb}{kind}", f"{verb} {kind} {name_of(world.service)}")
        elif actual is not None and owned_by(actual, world.service) and not deleting(actual):
            draft.actions.append(_deletion(resource, actual))
            draft.note(f"Deleted{kind}", f"Deleted {kind} {name_of(actual)}: not wished any more")


def _deletion(resource: Resource, obj: Object) -> Delete:
    return Delete(resource, namespace_of(obj), name_of(obj), uid_of(obj), "Background")


def _clash(ledger: Ledger, draft: Draft, clash: Clash) -> Decision:
    draft.actions.clear()
    draft.notes.clear()
    message = str(clash)
    if ledger.condition("Ready", False, "ChildClash", message):
        draft.note("ChildClash", message, warning=True)
    ledger.status["phase"] = "Failed"
    return Decision(draft.plan(ledger.status))


# -- after the roll-out


def _after(ledger: Ledger, draft: Draft) -> HookCall | None:
    """The Deployment is as wished and complete: hooks, then Ready (or RolledBack)."""
    record = ledger.record("rollout")
    good = ledger.record("lastGood")
    back = record.get("state") == rollout.State.ROLLED_BACK
    version = str(good.get("version") if back else record.get("version"))
    previous = str(record.get("version") if back else record.get("previousVersion", ""))
    ledger.status["version"] = version
    ledger.condition("Available", True, "MinimumReplicasAvailable")
    call, over = hooks.after_rollout(ledger, draft, version, previous, int(record["generation"]))
    if over and call is None:
        call = hooks.after_config(ledger, draft, version)
    if back:
        failed = ledger.world.service.get("spec", {}).get("version")
        message = f"version {failed} failed: {record.get('cause')}; serving {version}"
        ledger.condition("Ready", False, "RolledBack", message)
        ledger.status["phase"] = "RolledBack"
    elif not over:
        message = f"version {version} is ready; postRolloutHook is not done"
        ledger.condition("Ready", False, "PostRolloutHook", message)
        ledger.status["phase"] = "Progressing"
    else:
        _ready(ledger, draft, version)
    return call


def _ready(ledger: Ledger, draft: Draft, version: str) -> None:
    count = replicas_of(ledger.world.service)
    message = f"{count} of {count} replicas ready, version {version}"
    hook = ledger.record("postRolloutHook")
    if hook.get("state") == "Failed":
        message += f"; postRolloutHook failed: {hook.get('message')}"
    if ledger.condition("Ready", True, "Ready", message):
        draft.note("Ready", message)
    ledger.status["phase"] = "Ready"


def _report_progress(ledger: Ledger) -> None:
    """The conditions while the Deployment is not (or no longer) complete."""
    world, record = ledger.world, ledger.record("rollout")
    deployment = world.deployment or {}
    status = deployment.get("status") or {}
    wished = replicas_of(world.service)
    enough = int(status.get("availableReplicas") or 0)
    available = bool(deployment) and (enough >= wished or _available(deployment))
    ledger.condition(
        "Available",
        available,
        "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
    )
    versions = {template_version(rs) for rs in world.replica_sets if _serves(rs)}
    if len(versions) == 1:
        ledger.status["version"] = versions.pop()
    cause = rollout.current_cause(world)
    counts = (
        f"{status.get('updatedReplicas') or 0} of {wished} updated,"
        f" {status.get('readyReplicas') or 0} ready"
    )
    tail = f"; {cause}" if cause else ""
    match record.get("state"):
        case rollout.State.ROLLED_BACK:
            good = ledger.record("lastGood").get("version")
            message = f"going back to {good}: {record.get('cause')}"
            ledger.condition("Ready", False, "RolledBack", message)
            ledger.status["phase"] = "RolledBack"
        case rollout.State.FAILED:
            message = f"version {record.get('version')} failed: {record.get('cause')}"
            ledger.condition("Ready", False, "RolloutFailed", message)
            ledger.status["phase"] = "Failed"
        case rollout.State.COMPLETE:
            ledger.condition("Ready", False, "PodsNotReady", f"{counts}{tail}")
            ledger.status["phase"] = "Progressing"
        case _:
            message = f"version {version_of(world.service)}: {counts}{tail}"
            ledger.condition("Ready", False, "Progressing", message)
            ledger.status["phase"] = "Progressing" if deployment else "Pending"


def _report_sync(ledger: Ledger) -> None:
    """The pods are as wished, another child is being changed: what was ready stays so."""
    ready = find(ledger.status.get("conditions"), "Ready") or {}
    if ready.get("status") != "True" and ledger.status.get("phase") != "RolledBack":
        ledger.condition("Ready", False, "Progressing", "bringing its children up to date")
        ledger.status["phase"] = "Progressing"


def _available(deployment: Object) -> bool:
    entries = (deployment.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Available" and c.get("status") == "True" for c in entries)


def _serves(replica_set: Object) -> bool:
    return int((replica_set.get("status") or {}).get("readyReplicas") or 0) > 0


# -- the end


def _clean_up(world: World) -> Decision:
    """Route and pods first (they drain with their preStop hooks), then the rest, then the
    finalizer.
    """
    draft = Draft()
    if FINALIZER not in finalizers_of(world.service):
        return Decision(draft.plan())
    mine = {k: obj for k, obj in world.children.items() if owned_by(obj, world.service)}
    workers = [pod for pod in world.pods if (controller_of(pod) or {}).get("kind") == "ReplicaSet"]
    first = [kind for kind in ("Route", "Deployment") if kind in mine]
    then = [kind for kind in ("Service", "ConfigMap") if kind in mine]
    for kind in first if first or workers else then:
        if not deleting(mine[kind]):
            draft.actions.append(_deletion(CHILDREN[kind], mine[kind]))
    ledger = Ledger(world)
    ledger.count()
    left = [f"{kind} {name_of(obj)}" for kind, obj in mine.items()]
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
