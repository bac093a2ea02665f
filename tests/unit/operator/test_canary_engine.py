"""Single decisions of a roll-out in steps, its commands and its history."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cloudwright.model.resources import CONTROLLER_REVISION
from cloudwright.operator.engines.actions import Create, Delete, Draft, Patch, Update
from cloudwright.operator.engines.microservice import canary_children as shares
from cloudwright.operator.engines.microservice import commands, history
from cloudwright.operator.engines.microservice.gateway import http_route
from cloudwright.operator.engines.microservice.world import COMMAND, FINALIZER, Ledger, World
from tests.unit.operator.builders import NOW


def service(record: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {
            "name": "pay",
            "namespace": "default",
            "uid": "ms",
            "generation": 2,
            "finalizers": [FINALIZER],
        },
        "spec": {"version": "2.0.0", **spec},
        "status": {"rollout": record or {}},
    }


@pytest.mark.parametrize(
    ("weight", "replicas", "routing", "expected"),
    [
        (0, 4, "mesh", 1),
        (5, 4, "mesh", 1),
        (50, 4, "mesh", 2),
        (60, 4, "mesh", 3),
        (100, 4, "mesh", 4),
        (50, 4, "none", 4),  # half of all pods
        (20, 4, "none", 1),
        (100, 4, "none", 16),
    ],
)
def test_pods_for_a_share(weight: int, replicas: int, routing: Any, expected: int) -> None:
    assert shares.replicas_at({}, weight, replicas, routing) == expected


def test_green_has_all_pods_at_once() -> None:
    assert shares.replicas_at({"rollout": {"strategy": "BlueGreen"}}, 0, 4, "mesh") == 4


def test_the_stable_service_finds_no_canary_where_something_routes() -> None:
    one = service(config={"a": "b"})
    routed = shares.deployment(one, 2, "mesh")
    labels = routed["spec"]["template"]["metadata"]["labels"]
    assert "platform.example.com/microservice" not in labels
    assert routed["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert routed["metadata"]["name"] == "pay-canary"
    (volume,) = routed["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == "pay-canary"
    counted = shares.deployment(one, 2, "none")
    labels = counted["spec"]["template"]["metadata"]["labels"]
    assert labels["platform.example.com/microservice"] == "pay"


def test_the_shares_of_a_service() -> None:
    assert shares.backends(service(), 0) == ""
    assert json.loads(shares.backends(service(), 30)) == {"pay": 70, "pay-canary": 30}


def commanded(command: str, record: dict[str, Any], **spec: Any) -> tuple[Ledger, Draft]:
    one = service(record, **spec)
    one["metadata"]["annotations"] = {COMMAND: command}
    ledger, draft = Ledger(World(one, NOW)), Draft()
    commands.obey(ledger, draft)
    return ledger, draft


STEPPING = {"state": "Progressing", "stage": "Stepping", "step": 1, "version": "2.0.0"}


def test_a_command_is_obeyed_once_and_its_annotation_goes() -> None:
    ledger, draft = commanded("promote", STEPPING)
    assert ledger.record("rollout")["stage"] == "Promoting"
    (action,) = draft.actions
    assert isinstance(action, Patch)
    assert action.body == {"metadata": {"annotations": {COMMAND: None}}}
    # The operator died before the annotation was away: the next one does not promote again.
    again = {**ledger.world.service, "status": {**ledger.status, "rollout": STEPPING}}
    after = Ledger(World(again, NOW))
    commands.obey(after, Draft())
    assert after.record("rollout") == STEPPING
    # Once it is away, the same word is a new command.
    bare = {**again, "metadata": {**again["metadata"], "annotations": {}}}
    free = Ledger(World(bare, NOW))
    commands.obey(free, Draft())
    assert "command" not in free.status


def test_resume_is_for_the_step_that_is_on() -> None:
    ledger, _ = commanded("resume", {**STEPPING, "paused": True})
    record = ledger.record("rollout")
    assert "paused" not in record
    assert record["approved"] == 1


@pytest.mark.parametrize(
    ("command", "record", "said"),
    [
        ("promote", {"state": "Complete"}, "no roll-out is in progress"),
        ("promote", {"state": "Progressing"}, "no steps to skip"),
        ("abort", {"state": "Progressing"}, "no version to go back to"),
        ("explode", STEPPING, "there is no such command"),
    ],
)
def test_a_command_that_makes_no_sense_is_told_and_goes(
    command: str, record: dict[str, Any], said: str
) -> None:
    ledger, draft = commanded(command, record)
    assert ledger.record("rollout") == record
    (note,) = draft.notes
    assert note.reason == "CommandIgnored"
    assert said in note.message
    assert len(draft.actions) == 1


def revision(name: str, number: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": name}
    return {"metadata": metadata, "revision": number, "data": {"spec": {"version": name}}}


def recorded(world: World, *keep: str) -> list[Any]:
    draft = Draft()
    history.record(world, draft, keep)
    return draft.actions


def test_history_keeps_what_was_and_not_how_many() -> None:
    world = World(service(replicas=3, config={"a": "1"}, rollout={"paused": True}), NOW)
    (made,) = recorded(world)
    assert isinstance(made, Create)
    assert made.obj["data"] == {"spec": {"version": "2.0.0", "config": {"a": "1"}}}
    assert made.obj["revision"] == 1
    scaled = World(service(replicas=9, config={"a": "1"}), NOW, revisions=[made.obj])
    assert recorded(scaled) == []
    assert recorded(replace(world, served=frozenset())) == []


def test_a_spec_that_comes_back_is_the_newest_again() -> None:
    world = World(service(), NOW)
    (made,) = recorded(world)
    old = {**made.obj, "revision": 3}
    (action,) = recorded(replace(world, revisions=[old, revision("x", 7)]))
    assert isinstance(action, Update)
    assert action.obj["revision"] == 8


def test_the_oldest_revisions_go_but_not_the_last_good_one() -> None:
    many = [revision(f"r{n}", n) for n in range(1, 12)]
    actions = recorded(World(service(), NOW, revisions=many), "r1")
    assert isinstance(actions[0], Create)
    gone = [a.name for a in actions[1:] if isinstance(a, Delete)]
    assert gone == ["r2", "r3"]
    assert all(a.resource == CONTROLLER_REVISION for a in actions[1:])


def test_a_route_for_the_gateway_api() -> None:
    wish = {"hosts": ["shop.example.com", "*"], "path": "/pay/", "timeout": "5s"}
    found = http_route(service(route=wish), ("infra", "public"), 25)
    assert found is not None
    spec = found["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert spec["hostnames"] == ["shop.example.com"]
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/pay"}}]
    assert rule["filters"][0]["type"] == "URLRewrite"
    assert rule["timeouts"] == {"request": "5s"}
    assert [b["weight"] for b in rule["backendRefs"]] == [75, 25]
    assert http_route(service(route={"disabled": True}), ("", "g"), 0) is None
    plain = http_route(service(route={"path": "/"}), ("", "g"), 0)
    assert plain is not None
    assert "filters" not in plain["spec"]["rules"][0]
