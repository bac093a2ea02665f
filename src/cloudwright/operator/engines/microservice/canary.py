"""A roll-out in steps: the new version runs beside the old one and gets a growing share.

``status.rollout`` has ``strategy``, ``stage``, ``step`` (index), ``weight`` (per cent that are set)
and ``stepTime``. The stable Deployment keeps the old version until the new one is promoted, so
going back is taking the share away. Source of the model: Argo Rollouts' and Flagger's canaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cloudwright._base.clock import parse_rfc3339, rfc3339, rfc3339_micro
from cloudwright.model import durations, pods
from cloudwright.model.kinds.rollouts import strategy_of
from cloudwright.model.objects import Object, name_of
from cloudwright.operator.engines import deployment_status as progress
from cloudwright.operator.engines import judgement
from cloudwright.operator.engines.actions import Draft
from cloudwright.operator.engines.causes import first_cause
from cloudwright.operator.engines.microservice import canary_children as render
from cloudwright.operator.engines.microservice import rollout
from cloudwright.operator.engines.microservice.stages import Stage, State, stage_of
from cloudwright.operator.engines.microservice.world import Ledger, World, wished_replicas
from cloudwright.operator.engines.sync import current

BAKE_SECONDS = 60.0


def steps_of(world: World) -> list[dict[str, Any]]:
    """The steps; blue and green is one without requests and one with all of them."""
    if strategy_of(world.spec) == "BlueGreen":
        bake = world.rollout.get("bake") or durations.render(BAKE_SECONDS)
        return [{"weight": 0}, {"weight": 100, "pause": bake}]
    return [dict(step) for step in world.rollout.get("steps") or []]


def wanted(ledger: Ledger, template: str) -> bool:
    """Whether a roll-out of ``template`` (a digest) goes in steps: there must be an old version."""
    good = ledger.record("lastGood")
    return (
        strategy_of(ledger.world.spec) != "RollingUpdate"
        and bool(good.get("template"))
        and good.get("template") != template
        and wished_replicas(ledger) > 0
        and rollout.last_good_template(ledger) is not None
    )


def begin(ledger: Ledger) -> dict[str, Any]:
    """What is added to the record of a roll-out in steps."""
    strategy = strategy_of(ledger.world.spec)
    return {"strategy": strategy, "stage": Stage.PREPARING.value, "step": 0, "weight": 0}


def exists(ledger: Ledger) -> bool:
    """Whether there should be a canary."""
    return bool(stage_of(ledger.record("rollout")))


def wished_deployment(ledger: Ledger) -> Object:
    """The canary's Deployment, with pods for the step that is on, or being prepared."""
    world, record = ledger.world, ledger.record("rollout")
    steps = steps_of(world)
    index = min(int(record.get("step") or 0), max(len(steps) - 1, 0))
    weight = int(steps[index].get("weight") or 0) if steps else 100
    weight = max(weight, int(record.get("weight") or 0))
    number = render.replicas_at(world.spec, weight, wished_replicas(ledger), world.routing)
    return render.deployment(world.service, number, world.routing)


def advance(ledger: Ledger, draft: Draft) -> None:
    """Move on by what pods and requests show: at most one stage at a time."""
    record = ledger.record("rollout")
    stage = stage_of(record)
    if stage == Stage.LINGERING:
        _linger(ledger, draft, record)
        return
    if not stage or record.get("state") != State.PROGRESSING:
        return
    trouble = _trouble(ledger, record)
    if trouble:
        rollout.fail(
            ledger, draft, trouble, f"version {record['version']} is not good enough: {trouble}"
        )
    elif stage == Stage.PROMOTING:
        rollout.advance(ledger, draft)
    elif is_paused(ledger):
        _say(ledger, record, "paused; resume, promote or abort it")
    elif stage == Stage.PREPARING:
        _prepare(ledger, draft, record)
    else:
        _watch(ledger, draft, record)


def is_paused(ledger: Ledger) -> bool:
    """Whether a person holds the roll-out, by the spec or by a command."""
    return bool(ledger.world.rollout.get("paused")) or bool(ledger.record("rollout").get("paused"))


def promote(ledger: Ledger, draft: Draft, why: str) -> None:
    """Let the stable Deployment have the new version."""
    record = ledger.record("rollout")
    record.update(stage=Stage.PROMOTING.value, message=why)
    ledger.status["rollout"] = record
    draft.note("Promoting", f"Version {record['version']} replaces the old one: {why}")


def _linger(ledger: Ledger, draft: Draft, record: dict[str, Any]) -> None:
    left = (parse_rfc3339(str(record["lingerUntil"])) - ledger.world.now).total_seconds()
    if left > 0:
        draft.again(left)
        return
    record.pop("stage")
    record.pop("lingerUntil")
    ledger.status["rollout"] = record


def _prepare(ledger: Ledger, draft: Draft, record: dict[str, Any]) -> None:
    """Once the canary has its pods, it gets its share."""
    world = ledger.world
    steps, index = steps_of(world), int(record["step"])
    if index >= len(steps):
        promote(ledger, draft, "every step is done")
        return
    wish, actual = wished_deployment(ledger), world.canary.get("Deployment")
    status = (actual or {}).get("status") or {}
    if actual is None or not current(wish, actual) or not progress.is_complete(actual, status):
        count = int(status.get("readyReplicas") or 0)
        text = f"{count} of {wish['spec']['replicas']} new pods ready"
        _say(ledger, record, f"step {index + 1} of {len(steps)}: {text}")
        return
    weight = int(steps[index].get("weight") or 0)
    record.update(
        stage=Stage.STEPPING.value,
        weight=weight,
        stepTime=rfc3339_micro(world.now),
        restarts=_restarts(world.canary_pods),
    )
    record.pop("approved", None)
    _say(ledger, record, f"step {index + 1} of {len(steps)}: {weight} % of the requests")
    version = record["version"]
    draft.note("CanaryStep", f"Version {version} gets {weight} % of the requests")
    draft.again(0.0)


def _watch(ledger: Ledger, draft: Draft, record: dict[str, Any]) -> None:
    """Stay at a step for its time, until its requests are judged, until a person agrees."""
    world = ledger.world
    steps, index = steps_of(world), int(record["step"])
    step = steps[index] if index < len(steps) else {"weight": record["weight"]}
    head = f"step {index + 1} of {len(steps)}: {record['weight']} % of the requests"
    since = parse_rfc3339(str(record["stepTime"]))
    left = durations.parse(str(step.get("pause") or "0")) - (world.now - since).total_seconds()
    verdict = _verdict(world, record)
    said = f"; {verdict.message}" if verdict else ""
    if world.rollout.get("analysis") and not world.metered:
        said = "; nothing measures requests here: judged by readiness and restarts"
    if verdict is not None:
        draft.again(judgement.interval(world.rollout.get("analysis") or {}))
    if left > 0:
        until = rfc3339(since + timedelta(seconds=durations.parse(str(step.get("pause")))))
        draft.again(left)
        _say(ledger, record, f"{head} until {until}{said}")
    elif verdict is not None and verdict.word == "Open":
        _say(ledger, record, f"{head}{said}")
    elif step.get("approval") and record.get("approved") != index:
        _say(ledger, record, f"{head}{said}; waiting for a person: resume, promote or abort it")
    elif index + 1 < len(steps):
        record.update(stage=Stage.PREPARING.value, step=index + 1)
        _say(ledger, record, f"step {index + 2} of {len(steps)}: starting pods")
    else:
        promote(ledger, draft, f"every step is done{said}")


def _say(ledger: Ledger, record: dict[str, Any], message: str) -> None:
    record["message"] = message
    ledger.status["rollout"] = record


def _verdict(world: World, record: dict[str, Any]) -> judgement.Verdict | None:
    """The judgement on the requests; ``None`` when there is nothing to judge by, or no request."""
    analysis = world.rollout.get("analysis")
    if analysis is None or int(record.get("weight") or 0) <= 0 or not world.metered:
        return None
    return judgement.judge(analysis, world.traffic)


def _trouble(ledger: Ledger, record: dict[str, Any]) -> str:
    """Why the new version must not go on; empty when it may."""
    world = ledger.world
    deployment = world.canary.get("Deployment")
    cause = canary_cause(world)
    if deployment is not None and rollout.deadline_passed(deployment):
        return cause or "its pods did not become ready"
    verdict = _verdict(world, record)
    if verdict is not None and verdict.word == "Bad":
        return verdict.message
    if stage_of(record) != Stage.STEPPING:
        return ""
    if _restarts(world.canary_pods) > int(record.get("restarts") or 0):
        return cause or "its containers were restarted"
    return ""


def canary_cause(world: World) -> str:
    """Why the canary's pods are not ready."""
    return first_cause(world.canary_pods, _newest(world.canary_replica_sets), world.events)


def _newest(replica_sets: Sequence[Object]) -> Object | None:
    return max(replica_sets, key=lambda rs: (pods.created_at(rs), name_of(rs)), default=None)


def _restarts(found: Sequence[Object]) -> int:
    return sum(pods.restarts(pod) for pod in found if pods.is_active(pod))
