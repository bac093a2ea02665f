"""The life cycle of a MicroService, one decision at a time.

gone? clean up → validate → obey commands → wait for dependencies → sync children → wait for the
roll-out, step by step (or go back) → postRolloutHook → Ready. The status is written before the
actions are done, so a crash between the two repeats the action and never the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model.conditions import find
from cloudwright.model.objects import (
    Object,
    annotations_of,
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
    POD_DISRUPTION_BUDGET,
    ROUTE,
    SERVICE,
    Resource,
)
from cloudwright.operator.engines import autoscale
from cloudwright.operator.engines.actions import Delete, Draft, Update
from cloudwright.operator.engines.autoscale import Advice
from cloudwright.operator.engines.microservice import canary, commands, history, hooks, rollout
from cloudwright.operator.engines.microservice import canary_children as shares
from cloudwright.operator.engines.microservice import children as render
from cloudwright.operator.engines.microservice.gateway import HTTP_ROUTE, http_route
from cloudwright.operator.engines.microservice.stages import Stage, State, stage_of
from cloudwright.operator.engines.microservice.world import (
    BACKENDS,
    FINALIZER,
    Decision,
    HookCall,
    Ledger,
    World,
    template_version,
    version_of,
    wished_replicas,
)
from cloudwright.operator.engines.sync import Clash, bring
from cloudwright.operator.engines.templates import copy, digest

CHILDREN: dict[str, Resource] = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Service": SERVICE,
    "Route": ROUTE,
    "HTTPRoute": HTTP_ROUTE,
    "PodDisruptionBudget": POD_DISRUPTION_BUDGET,
}
"""In the order in which they are made."""
OPTIONAL = frozenset({"Route", "HTTPRoute", "PodDisruptionBudget"})
"""Kinds that an API may not have."""
CANARY_CHILDREN = ("ConfigMap", "Deployment", "Service")


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
    commands.obey(ledger, draft)
    advice = _scale(ledger, draft)
    waiting = _dependencies(ledger, draft)
    if rollout.starts(world):
        if world.rollout.get("paused") and not ledger.record("rollout"):
            return _hold(ledger, draft)
        if not world.rollout.get("paused"):
            if waiting and not rollout.goes_back(world):
                return _wait(ledger, draft, waiting)
            _begin(ledger, draft)
    canary.advance(ledger, draft)
    if not stage_of(ledger.record("rollout")):
        rollout.advance(ledger, draft)
    return _carry_on(ledger, draft, advice)


def _begin(ledger: Ledger, draft: Draft) -> None:
    template = digest(render.pod_template(ledger.world.service))
    rollout.begin(ledger, draft, canary.begin(ledger) if canary.wanted(ledger, template) else {})


def _carry_on(ledger: Ledger, draft: Draft, advice: Advice | None) -> Decision:
    """Bring the children to what the roll-out on record says, and tell how it stands."""
    world = ledger.world
    history.record(world, draft, [str(ledger.record("lastGood").get("revision") or "")])
    wish = rollout.wished_deployment(ledger)
    ordered = len(draft.actions)
    try:
        _sync(ledger, draft, wish)
    except Clash as clash:
        return _clash(ledger, draft, clash)
    call = None
    if stage_of(ledger.record("rollout")) not in ("", Stage.LINGERING):
        _report_steps(ledger)
    elif not rollout.settled(world, wish):
        _report_progress(ledger)
    elif len(draft.actions) > ordered:
        _report_sync(ledger)
    else:
        call = _after(ledger, draft)
    return Decision(draft.plan(ledger.status), call, advice)


def _scale(ledger: Ledger, draft: Draft) -> Advice | None:
    """Let the load say how many pods there are; returns its recommendation."""
    world = ledger.world
    if not world.spec.get("autoscaling"):
        ledger.status.pop("autoscaling", None)
        return None
    before = wished_replicas(ledger)
    if world.load is None:
        return None
    found = autoscale.size(world.spec, before, world.load, world.advice, world.now)
    record = {**ledger.record("autoscaling"), "desiredReplicas": found.replicas}
    if found.replicas != before:
        record["lastScaleTime"] = rfc3339(world.now)
        record["message"] = found.message
        draft.note("Scaled", f"From {before} to {found.replicas} pods: {found.message}")
    ledger.status["autoscaling"] = record
    return found.advice


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


def _hold(ledger: Ledger, draft: Draft) -> Decision:
    ledger.condition("Ready", False, "Paused", "spec.rollout.paused: nothing was rolled out yet")
    ledger.status["phase"] = "Paused"
    return Decision(draft.plan(ledger.status))


def _waiting_message(world: World, waiting: list[str]) -> str:
    text = f"waiting for {', '.join(waiting)}"
    if world.circle:
        text += f"; they wait for each other: {' → '.join(world.circle)}"
    return text


# -- children


def _effective_config(ledger: Ledger) -> Mapping[str, Any] | None:
    """The files that the stable pods should have: the old ones while the old version stays.

    ``None``: there is no configuration.
    """
    spec = ledger.world.spec
    if rollout.holds(ledger):
        spec = history.last_good_spec(ledger) or spec
    if not render.has_config(spec):
        return None
    return dict(spec.get("config") or {})


def wishes(ledger: Ledger, deployment: Object) -> dict[str, Object]:
    """The wished children by kind; a kind that is missing should not exist."""
    world, service = ledger.world, ledger.world.service
    weight = int(ledger.record("rollout").get("weight") or 0)
    share = None
    if world.routing == "mesh":
        before = annotations_of(world.children.get("Service") or {})
        share = shares.backends(service, weight)
        if not share and BACKENDS not in before:
            share = None
    result = {"Deployment": deployment, "Service": render.cluster_service(service, share)}
    config = _effective_config(ledger)
    if config is not None:
        result["ConfigMap"] = render.config_map(service, config)
    route = None
    if world.routing == "mesh":
        route = render.route(service)
    elif world.routing == "gateway-api":
        route = http_route(service, world.gateway, weight)
    if route is not None and route["kind"] in world.served:
        result[route["kind"]] = route
    if wished_replicas(ledger) > 1 and "PodDisruptionBudget" in world.served:
        result["PodDisruptionBudget"] = render.disruption_budget(service)
    return result


def canary_wishes(ledger: Ledger) -> dict[str, Object]:
    """The canary's children by kind; none when there should be no canary."""
    if not canary.exists(ledger):
        return {}
    service = ledger.world.service
    result = {
        "Deployment": canary.wished_deployment(ledger),
        "Service": shares.cluster_service(service),
    }
    if render.has_config(service["spec"]):
        result["ConfigMap"] = shares.config_map(service)
    return result


def _sync(ledger: Ledger, draft: Draft, deployment: Object) -> None:
    """The canary is made before it gets a share, and goes after it has lost it."""
    world = ledger.world
    _routed(ledger)
    gone: list[tuple[Resource, Object]] = []
    groups = (
        (canary_wishes(ledger), world.canary, CANARY_CHILDREN),
        (wishes(ledger, deployment), world.children, tuple(CHILDREN)),
    )
    for wanted, children, kinds in groups:
        for kind in kinds:
            actual, wish = children.get(kind), wanted.get(kind)
            if wish is None:
                if actual is not None and owned_by(actual, world.service) and not deleting(actual):
                    gone.append((CHILDREN[kind], actual))
                continue
            action = bring(CHILDREN[kind], world.service, wish, actual)
            if action is not None:
                draft.actions.append(action)
                verb = "Created" if actual is None else "Updated"
                draft.note(f"{verb}{kind}", f"{verb} {kind} {name_of(wish)}")
    for resource, obj in gone:
        draft.actions.append(_deletion(resource, obj))
        text = f"Deleted {resource.kind} {name_of(obj)}: not wished any more"
        draft.note(f"Deleted{resource.kind}", text)


def _routed(ledger: Ledger) -> None:
    """Say so when this cluster has nothing that could route from outside."""
    world = ledger.world
    if world.routing == "mesh" or render.route(world.service) is None:
        ledger.drop("Routed")
    elif world.routing == "none":
        text = "no Gateway API here: it is reached inside of the cluster only"
        ledger.condition("Routed", False, "NoGatewayAPI", text)
    else:
        ledger.condition("Routed", True, "HTTPRoute", f"through Gateway {'/'.join(world.gateway)}")


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
    back = record.get("state") == State.ROLLED_BACK
    version = str(good.get("version") if back else record.get("version"))
    previous = str(record.get("version") if back else record.get("previousVersion", ""))
    ledger.status["version"] = version
    ledger.condition("Available", True, "MinimumReplicasAvailable")
    call, over = hooks.after_rollout(ledger, draft, version, previous, int(record["generation"]))
    if over and call is None:
        call = hooks.after_config(ledger, draft, version, _effective_config(ledger))
    if not back and not rollout.holds(ledger):
        ledger.status["lastGood"] = {
            **good,
            "revision": history.revision_name(ledger.world.service),
        }
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
    count = wished_replicas(ledger)
    message = f"{count} of {count} replicas ready, version {version}"
    hook = ledger.record("postRolloutHook")
    if hook.get("state") == "Failed":
        message += f"; postRolloutHook failed: {hook.get('message')}"
    if ledger.condition("Ready", True, "Ready", message):
        draft.note("Ready", message)
    ledger.status["phase"] = "Ready"


def _report_steps(ledger: Ledger) -> None:
    """The conditions while a new version runs beside the old one."""
    world, record = ledger.world, ledger.record("rollout")
    ledger.condition("Available", _available(world.deployment or {}), "StableVersion")
    good = str(ledger.record("lastGood").get("version") or "")
    ledger.status["version"] = good
    if record.get("state") == State.FAILED:
        message = f"version {record.get('version')} failed: {record.get('cause')}; {good} serves"
        ledger.condition("Ready", False, "RolloutFailed", message)
        ledger.status["phase"] = "Failed"
        return
    cause = canary.canary_cause(world) or rollout.current_cause(world)
    tail = f"; {cause}" if cause else ""
    message = f"version {record.get('version')}: {record.get('message') or 'starting'}{tail}"
    paused = canary.is_paused(ledger)
    ledger.condition("Ready", False, "Paused" if paused else "Progressing", message)
    ledger.status["phase"] = "Paused" if paused else "Progressing"


def _report_progress(ledger: Ledger) -> None:
    """The conditions while the Deployment is not (or no longer) complete."""
    world, record = ledger.world, ledger.record("rollout")
    deployment = world.deployment or {}
    status = deployment.get("status") or {}
    wished = wished_replicas(ledger)
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
        case State.ROLLED_BACK:
            good = ledger.record("lastGood").get("version")
            message = f"going back to {good}: {record.get('cause')}"
            ledger.condition("Ready", False, "RolledBack", message)
            ledger.status["phase"] = "RolledBack"
        case State.FAILED:
            message = f"version {record.get('version')} failed: {record.get('cause')}"
            ledger.condition("Ready", False, "RolloutFailed", message)
            ledger.status["phase"] = "Failed"
        case State.COMPLETE:
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

_GO_FIRST = ("Route", "HTTPRoute", "Deployment")


def _clean_up(world: World) -> Decision:
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
            draft.actions.append(_deletion(CHILDREN[obj["kind"]], obj))
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
