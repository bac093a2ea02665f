"""The life cycle of a MicroService, one decision at a time.

gone? clean up → validate → obey commands → wait for dependencies → sync children → wait for the
roll-out, step by step (or go back) → postRolloutHook → Ready. The status is written before the
actions are done, so a crash between the two repeats the action and never the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model.objects import (
    Object,
    annotations_of,
    deleting,
    finalizers_of,
    name_of,
    owned_by,
)
from cloudwright.model.resources import (
    MICRO_SERVICE,
    Resource,
)
from cloudwright.operator.engines import autoscale
from cloudwright.operator.engines.actions import Draft, Update
from cloudwright.operator.engines.microservice import (
    canary,
    commands,
    ending,
    history,
    hooks,
    report,
    rollout,
)
from cloudwright.operator.engines.microservice import canary_children as shares
from cloudwright.operator.engines.microservice import children as render
from cloudwright.operator.engines.microservice.gateway import http_route
from cloudwright.operator.engines.microservice.kinds import (
    CANARY_CHILDREN,
    CHILDREN,
    deletion,
)
from cloudwright.operator.engines.microservice.stages import Stage, State, stage_of
from cloudwright.operator.engines.microservice.world import (
    BACKENDS,
    FINALIZER,
    Decision,
    HookCall,
    Ledger,
    World,
    wished_replicas,
)
from cloudwright.operator.engines.scaling import Advice
from cloudwright.operator.engines.sync import Clash, bring
from cloudwright.operator.engines.templates import copy, digest


def decide(world: World) -> Decision:
    """What to do next for one MicroService."""
    if deleting(world.service):
        return ending.clean_up(world)
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
        report.steps(ledger)
    elif not rollout.settled(world, wish):
        report.progress(ledger)
    elif len(draft.actions) > ordered:
        report.syncing(ledger)
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
    report.routed(ledger)
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
            owner = world.service
            action = bring(CHILDREN[kind], owner, wish, actual, apply=world.applies)
            if action is not None:
                draft.actions.append(action)
                verb = "Created" if actual is None else "Updated"
                draft.note(f"{verb}{kind}", f"{verb} {kind} {name_of(wish)}")
    for resource, obj in gone:
        draft.actions.append(deletion(resource, obj))
        text = f"Deleted {resource.kind} {name_of(obj)}: not wished any more"
        draft.note(f"Deleted{resource.kind}", text)


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
