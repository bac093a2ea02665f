"""What the conditions say of a MicroService while its roll-out is under way."""

from __future__ import annotations

from cloudwright.model.conditions import find
from cloudwright.model.objects import Object
from cloudwright.operator.engines.microservice import canary, rollout
from cloudwright.operator.engines.microservice import children as render
from cloudwright.operator.engines.microservice.stages import State
from cloudwright.operator.engines.microservice.world import (
    Ledger,
    template_version,
    version_of,
    wished_replicas,
)


def steps(ledger: Ledger) -> None:
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


def progress(ledger: Ledger) -> None:
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


def syncing(ledger: Ledger) -> None:
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


def routed(ledger: Ledger) -> None:
    """Say so when this cluster has nothing that could route from outside."""
    world = ledger.world
    if world.routing == "mesh" or render.route(world.service) is None:
        ledger.drop("Routed")
    elif world.routing == "none":
        text = "no Gateway API here: it is reached inside of the cluster only"
        ledger.condition("Routed", False, "NoGatewayAPI", text)
    else:
        ledger.condition("Routed", True, "HTTPRoute", f"through Gateway {'/'.join(world.gateway)}")
