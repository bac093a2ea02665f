"""One roll-out of a MicroService: started, complete, failed or rolled back.

``status.rollout`` keeps what was decided (generation, version, digest of the template, state),
``status.lastGood`` what to go back to; both are written before anything is done about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from cloudwright.operator.engines.microservice.history import revision_name
from cloudwright.operator.engines.microservice.stages import State, end, holds_stable
from cloudwright.operator.engines.microservice.world import (
    Ledger,
    World,
    version_of,
    wished_replicas,
)
from cloudwright.operator.engines.revisions import split
from cloudwright.operator.engines.sync import current, restamped
from cloudwright.operator.engines.templates import digest, without_hash


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


def begin(ledger: Ledger, draft: Draft, more: Mapping[str, Any]) -> None:
    """Put a new roll-out on record, with ``more`` of one in steps."""
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
        **more,
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


def holds(ledger: Ledger) -> bool:
    """Whether the old version stays: after a rollback, before a promotion, before the start."""
    record = ledger.record("rollout")
    if record.get("state") == State.ROLLED_BACK or holds_stable(record):
        return True
    return bool(record) and record.get("template") != digest(pod_template(ledger.world.service))


def wished_deployment(ledger: Ledger) -> Object:
    """The Deployment by the spec, or with the last good template while the old version stays."""
    world = ledger.world
    template = pod_template(world.service)
    if holds(ledger):
        template = last_good_template(ledger) or template
    wish = render(world.service, template, wished_replicas(ledger))
    record = ledger.record("rollout")
    moving = record.get("state") == State.PROGRESSING
    if moving and (world.rollout.get("paused") or record.get("paused")):
        wish["spec"]["paused"] = True
        wish = restamped(wish)
    return wish


def settled(world: World, wish: Object) -> bool:
    """Whether the Deployment is the wished one, its controller has seen it, and it is complete."""
    actual = world.deployment
    if actual is None or not current(wish, actual):
        return False
    return progress.is_complete(actual, actual.get("status") or {})


def advance(ledger: Ledger, draft: Draft) -> None:
    """Move the roll-out on record by what its Deployment shows."""
    world, record = ledger.world, ledger.record("rollout")
    if record.get("state") not in (State.PROGRESSING, State.FAILED) or holds(ledger):
        return
    wish = wished_deployment(ledger)
    actual = world.deployment
    if settled(world, wish):
        _complete(ledger, draft, record)
    elif (
        record["state"] == State.PROGRESSING
        and actual is not None
        and current(wish, actual)
        and deadline_passed(actual)
    ):
        _fail(ledger, draft, record)


def deadline_passed(deployment: Object) -> bool:
    """Whether its pods made no progress for too long."""
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
    now = ledger.world.now
    record.update(state=State.COMPLETE.value, completionTime=rfc3339(now))
    end(record, ledger.world.routing, now)
    ledger.status["rollout"] = record
    ledger.status["lastGood"] = {
        "version": record["version"],
        "generation": record["generation"],
        "replicaSet": name_of(new),
        "template": record["template"],
        "revision": revision_name(ledger.world.service),
    }
    ledger.status["lastGoodVersion"] = record["version"]
    ledger.condition("RolloutFailed", False, "RolloutComplete", "")
    came = f" (was {last})" if last and last != record["version"] else ""
    draft.note("RolloutComplete", f"Version {record['version']} is rolled out{came}")


def _fail(ledger: Ledger, draft: Draft, record: dict[str, Any]) -> None:
    seconds = progress_deadline(ledger.world.service)
    cause = current_cause(ledger.world) or "its pods did not become ready"
    message = f"version {record['version']} was not ready within {seconds} s: {cause}"
    fail(ledger, draft, cause, message)


def fail(ledger: Ledger, draft: Draft, cause: str, message: str) -> None:
    """The roll-out went wrong: back to the last good version, if there is one and it may be."""
    automatic = ledger.world.rollout.get("autoRollback") is not False
    if automatic and _can_go_back(ledger):
        _go_back(ledger, draft, cause, message)
        return
    record = {**ledger.record("rollout"), "cause": cause, "state": State.FAILED.value}
    end(record, ledger.world.routing, ledger.world.now)
    ledger.status["rollout"] = record
    ledger.condition("RolloutFailed", True, "ProgressDeadlineExceeded", message)
    draft.note("RolloutFailed", message[:1].upper() + message[1:], warning=True)


def abort(ledger: Ledger, draft: Draft) -> str:
    """Go back because a person said so; returns why that is not possible."""
    if not _can_go_back(ledger):
        return "there is no version to go back to"
    version = ledger.record("rollout").get("version")
    _go_back(ledger, draft, "aborted by a person", f"version {version} was aborted by a person")
    return ""


def _can_go_back(ledger: Ledger) -> bool:
    other = ledger.record("lastGood").get("template") != ledger.record("rollout").get("template")
    return other and last_good_template(ledger) is not None


def _go_back(ledger: Ledger, draft: Draft, cause: str, message: str) -> None:
    record = {**ledger.record("rollout"), "cause": cause, "state": State.ROLLED_BACK.value}
    record.pop("paused", None)
    end(record, ledger.world.routing, ledger.world.now)
    ledger.status["rollout"] = record
    message = f"{message}; back to {ledger.record('lastGood').get('version')}"
    ledger.condition("RolloutFailed", True, "RolledBack", message)
    draft.note("RolledBack", message[:1].upper() + message[1:], warning=True)


def current_cause(world: World) -> str:
    """Why the pods of the newest template are not ready."""
    new = _new_replica_set(world)
    return first_cause(world.template_pods(new), new, world.events)
