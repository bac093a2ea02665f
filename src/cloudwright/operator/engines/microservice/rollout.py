"""One roll-out of a MicroService: started, complete, failed or rolled back.

``status.rollout`` keeps what was decided (generation, version, digest of the template, state),
``status.lastGood`` what to go back to; both are written before anything is done about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from cloudwright._base.clock import rfc3339
from cloudwright.model.conditions import is_true
from cloudwright.model.objects import Object, generation, name_of
from cloudwright.model.pods import condition
from cloudwright.operator.engines import deployment_status as progress
from cloudwright.operator.engines.actions import Draft
from cloudwright.operator.engines.causes import first_cause
from cloudwright.operator.engines.microservice.children import (
    deployment as render,
)
from cloudwright.operator.engines.microservice.children import (
    pod_template,
    progress_deadline,
)
from cloudwright.operator.engines.microservice.world import Ledger, World, version_of
from cloudwright.operator.engines.revisions import split
from cloudwright.operator.engines.sync import current
from cloudwright.operator.engines.templates import digest, without_hash


class State(StrEnum):
    """How far a roll-out is."""

    PROGRESSING = "Progressing"
    COMPLETE = "Complete"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"


def waiting_for(world: World) -> list[str]:
    """Dependencies that are not ready, each with what is wrong."""
    result = []
    for key, other in sorted(world.dependencies.items()):
        if other is None:
            result.append(f"{key} (does not exist)")
        elif not is_true((other.get("status") or {}).get("conditions"), "Ready"):
            phase = (other.get("status") or {}).get("phase") or "Pending"
            result.append(f"{key} ({phase})")
    return result


def circle(key: str, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The way from ``key`` over its dependencies back to itself; empty when there is none."""
    ways = [[key]]
    seen = set()
    while ways:
        way = ways.pop(0)
        for other in needs.get(way[-1], ()):
            if other == key:
                return [*way, key]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def starts(world: World) -> bool:
    """Whether the spec asks for pods that no roll-out on record has brought."""
    record = (world.service.get("status") or {}).get("rollout") or {}
    if record.get("template") != digest(pod_template(world.service)):
        return True
    ended_badly = record.get("state") in (State.FAILED, State.ROLLED_BACK)
    return ended_badly and record.get("generation") != generation(world.service)


def goes_back(world: World) -> bool:
    """Whether the wished version is the one that last worked: never held up by dependencies."""
    last = (world.service.get("status") or {}).get("lastGood") or {}
    return bool(world.deployment) and last.get("version") == version_of(world.service)


def begin(ledger: Ledger, draft: Draft) -> None:
    """Put a new roll-out on record."""
    world = ledger.world
    version = version_of(world.service)
    last = ledger.record("lastGood").get("version", "")
    ledger.status["rollout"] = {
        "generation": generation(world.service),
        "version": version,
        "template": digest(pod_template(world.service)),
        "previousVersion": last,
        "state": State.PROGRESSING.value,
        "startTime": rfc3339(world.now),
    }
    ledger.condition("RolloutFailed", False, "RolloutStarted", "")
    came = f" (was {last})" if last and last != version else ""
    draft.note("RolloutStarted", f"Rolling out version {version}{came}")


def last_good_template(ledger: Ledger) -> Object | None:
    """The template that last worked, from the ReplicaSet that still has it."""
    wanted = ledger.record("lastGood").get("replicaSet")
    for replica_set in ledger.world.replica_sets:
        if wanted and name_of(replica_set) == wanted:
            return without_hash(replica_set["spec"]["template"])
    return None


def wished_deployment(ledger: Ledger) -> Object:
    """The Deployment by the spec, or with the last good template after a rollback."""
    template = pod_template(ledger.world.service)
    if ledger.record("rollout").get("state") == State.ROLLED_BACK:
        template = last_good_template(ledger) or template
    return render(ledger.world.service, template)


def settled(world: World, wish: Object) -> bool:
    """Whether the Deployment is the wished one, its controller has seen it, and it is complete."""
    actual = world.deployment
    if actual is None or not current(wish, actual):
        return False
    return progress.is_complete(actual, actual.get("status") or {})


def advance(ledger: Ledger, draft: Draft) -> None:
    """Move the roll-out on record by what its Deployment shows."""
    world, record = ledger.world, ledger.record("rollout")
    if record.get("state") not in (State.PROGRESSING, State.FAILED):
        return
    wish = wished_deployment(ledger)
    actual = world.deployment
    if settled(world, wish):
        _complete(ledger, draft, record)
    elif (
        record["state"] == State.PROGRESSING
        and actual is not None
        and current(wish, actual)
        and _deadline_passed(actual)
    ):
        _fail(ledger, draft, record)


def _deadline_passed(deployment: Object) -> bool:
    status = deployment.get("status") or {}
    entry = condition(deployment, "Progressing") or {}
    seen = int(status.get("observedGeneration") or 0) >= generation(deployment)
    return seen and entry.get("reason") == progress.TIMED_OUT


def _new_replica_set(world: World) -> Object | None:
    if world.deployment is None:
        return None
    return split(world.deployment, world.replica_sets)[0]


def _complete(ledger: Ledger, draft: Draft, record: dict[str, Any]) -> None:
    new = _new_replica_set(ledger.world)
    if new is None:
        return
    last = ledger.record("lastGood").get("version", "")
    record.update(state=State.COMPLETE.value, completionTime=rfc3339(ledger.world.now))
    ledger.status["rollout"] = record
    ledger.status["lastGood"] = {
        "version": record["version"],
        "generation": record["generation"],
        "replicaSet": name_of(new),
        "template": record["template"],
    }
    ledger.status["lastGoodVersion"] = record["version"]
    ledger.condition("RolloutFailed", False, "RolloutComplete", "")
    came = f" (was {last})" if last and last != record["version"] else ""
    draft.note("RolloutComplete", f"Version {record['version']} is rolled out{came}")


def _fail(ledger: Ledger, draft: Draft, record: dict[str, Any]) -> None:
    world = ledger.world
    seconds = progress_deadline(world.service)
    cause = current_cause(world) or "its pods did not become ready"
    message = f"version {record['version']} was not ready within {seconds} s: {cause}"
    good = ledger.record("lastGood")
    automatic = (world.spec.get("rollout") or {}).get("autoRollback") is not False
    can = automatic and good.get("template") != record["template"]
    can = can and last_good_template(ledger) is not None
    record["cause"] = cause
    if can:
        record["state"] = State.ROLLED_BACK.value
        reason, message = "RolledBack", f"{message}; back to {good['version']}"
    else:
        record["state"] = State.FAILED.value
        reason = "ProgressDeadlineExceeded"
    ledger.status["rollout"] = record
    ledger.condition("RolloutFailed", True, reason, message)
    draft.note(
        "RolledBack" if can else "RolloutFailed", message[:1].upper() + message[1:], warning=True
    )


def current_cause(world: World) -> str:
    """Why the pods of the newest template are not ready."""
    new = _new_replica_set(world)
    return first_cause(world.template_pods(new), new, world.events)
