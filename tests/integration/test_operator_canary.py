"""New versions that come in steps: shares, judgement, commands, and what is left afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloudwright._base.errors import NotFoundError
from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, annotations_of, labels_of
from cloudwright.model.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    MICRO_SERVICE,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from cloudwright.operator.engines.traffic import Traffic
from tests.integration.operator_world import World, eventually, world

pytestmark = pytest.mark.anyio
NAME = "pay"
COMMAND = "platform.example.com/rollout-command"
GOOD = Traffic(requests=1000, errors=0, latency=0.01, seconds=10)
BAD = Traffic(requests=1000, errors=100, latency=0.01, seconds=10)


def service(version: str = "1.0.0", **spec: Any) -> Object:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"version": version, "replicas": 4, **spec},
    }


def steps(*weights: int, **more: Any) -> dict[str, Any]:
    return {"steps": [{"weight": w} for w in weights], **more}


async def start(w: World, **spec: Any) -> None:
    await w.client.create(MICRO_SERVICE, service(**spec))
    await w.phase(NAME, "Ready")


async def change(w: World, **spec: Any) -> None:
    await w.client.patch(MICRO_SERVICE, NAME, {"spec": spec}, "default")


async def order(w: World, command: str) -> None:
    body = {"metadata": {"annotations": {COMMAND: command}}}
    await w.client.patch(MICRO_SERVICE, NAME, body, "default")


def rollout(obj: Object) -> dict[str, Any]:
    return (obj.get("status") or {}).get("rollout") or {}


async def shares(w: World, wished: dict[str, int]) -> bool:
    found = await w.client.get(SERVICE, NAME, "default")
    text = annotations_of(found).get("cloudwright.dev/backends")
    return bool((json.loads(text) if text else {}) == wished)


async def has_files(w: World, name: str, wished: dict[str, str]) -> bool:
    return bool((await w.client.get(CONFIG_MAP, name, "default"))["data"] == wished)


async def gone(w: World, name: str) -> bool:
    for resource in (DEPLOYMENT, SERVICE, CONFIG_MAP):
        try:
            await w.client.get(resource, name, "default")
        except NotFoundError:
            continue
        return False
    return True


async def images(w: World, label: str) -> set[str]:
    pods = [p for p in await w.items(POD) if label in labels_of(p)]
    return {p["spec"]["containers"][0]["image"] for p in pods}


async def test_a_canary_gets_its_shares_and_is_promoted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        wish = {"steps": [{"weight": 25}, {"weight": 50, "approval": True}], "analysis": {}}
        await start(w, rollout=wish, config={"a": "1"})
        w.meter.traffics["pay-canary"] = GOOD
        await change(w, version="2.0.0", config={"a": "2"})
        await w.until(
            MICRO_SERVICE,
            NAME,
            lambda o: (
                rollout(o).get("weight") == 50
                and "waiting for a person" in str(rollout(o).get("message"))
            ),
        )
        await eventually(lambda: shares(w, {"pay": 50, "pay-canary": 50}))
        # The old version keeps all of its pods and its files.
        stable = await w.client.get(DEPLOYMENT, NAME, "default")
        assert stable["spec"]["replicas"] == 4
        assert await images(w, "platform.example.com/microservice") == {"pay:1.0.0"}
        assert await images(w, "platform.example.com/canary-of") == {"pay:2.0.0"}
        canary = await w.client.get(DEPLOYMENT, "pay-canary", "default")
        assert canary["status"]["readyReplicas"] == 2
        files = [
            (await w.client.get(CONFIG_MAP, n, "default"))["data"] for n in (NAME, "pay-canary")
        ]
        assert files == [{"a": "1"}, {"a": "2"}]
        await order(w, "resume")
        done = await w.phase(NAME, "Ready")
        assert done["status"]["version"] == "2.0.0"
        assert COMMAND not in annotations_of(done)
        assert await images(w, "platform.example.com/microservice") == {"pay:2.0.0"}
        assert await has_files(w, NAME, {"a": "2"})
        await eventually(lambda: shares(w, {}))
        await eventually(lambda: gone(w, "pay-canary"))
        revisions = await w.items(CONTROLLER_REVISION)
        specs = [r["data"]["spec"] for r in sorted(revisions, key=lambda r: r["revision"])]
        assert [(s["version"], s["config"]["a"]) for s in specs] == [("1.0.0", "1"), ("2.0.0", "2")]


@pytest.mark.parametrize("reason", ["errors", "latency", "restarts"])
async def test_a_canary_that_is_not_good_enough_goes(tmp_path: Path, reason: str) -> None:
    async with world(tmp_path) as w:
        wish = {
            "steps": [{"weight": 25, "approval": True}],
            "analysis": {"interval": "100ms", "latency": "250ms"},
        }
        await start(w, rollout=wish, config={"a": "1"})
        w.meter.traffics["pay-canary"] = GOOD
        await change(w, version="2.0.0", config={"a": "2"})
        await w.until(MICRO_SERVICE, NAME, lambda o: rollout(o).get("weight") == 25)
        await eventually(lambda: shares(w, {"pay": 75, "pay-canary": 25}))
        if reason == "errors":
            w.meter.traffics["pay-canary"] = BAD
        elif reason == "latency":
            w.meter.traffics["pay-canary"] = Traffic(1000, 0, 0.4, 10)
        else:
            pods = await w.items(POD)
            pod = next(p for p in pods if "platform.example.com/canary-of" in labels_of(p))
            pod["status"]["containerStatuses"][0]["restartCount"] = 1
            await w.client.update_status(POD, pod)
        back = await w.phase(NAME, "RolledBack")
        cause = rollout(back)["cause"]
        said = {"errors": "100 of 1000", "latency": "p99 is 400 ms", "restarts": "restarted"}
        assert said[reason] in cause
        assert back["status"]["version"] == "1.0.0"
        assert await images(w, "platform.example.com/microservice") == {"pay:1.0.0"}
        await eventually(lambda: shares(w, {}))
        await eventually(lambda: gone(w, "pay-canary"))
        await eventually(lambda: has_files(w, NAME, {"a": "1"}))


async def test_without_requests_nobody_judges_and_it_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await start(w, rollout=steps(10, analysis={"interval": "100ms"}))
        await change(w, version="2.0.0")
        waiting = await w.until(
            MICRO_SERVICE, NAME, lambda o: "0 of the 20 requests" in str(rollout(o).get("message"))
        )
        assert waiting["status"]["phase"] == "Progressing"
        w.meter.traffics["pay-canary"] = GOOD
        assert (await w.phase(NAME, "Ready"))["status"]["version"] == "2.0.0"


async def test_blue_and_green(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await start(w, rollout={"strategy": "BlueGreen", "bake": "1h"})
        await change(w, version="2.0.0")
        await w.until(MICRO_SERVICE, NAME, lambda o: rollout(o).get("weight") == 100)
        await eventually(lambda: shares(w, {"pay": 0, "pay-canary": 100}))
        green = await w.client.get(DEPLOYMENT, "pay-canary", "default")
        assert green["status"]["readyReplicas"] == 4
        await order(w, "promote")
        assert (await w.phase(NAME, "Ready"))["status"]["version"] == "2.0.0"
        await eventually(lambda: gone(w, "pay-canary"))


async def test_abort_and_pause_are_obeyed_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await start(w, rollout=steps(10, 20))
        await change(w, version="2.0.0", rollout={"steps": [{"weight": 10, "approval": True}]})
        await w.until(MICRO_SERVICE, NAME, lambda o: rollout(o).get("weight") == 10)
        await order(w, "pause")
        await w.phase(NAME, "Paused")
        await order(w, "abort")
        back = await w.phase(NAME, "RolledBack")
        assert rollout(back)["cause"] == "aborted by a person"
        await eventually(lambda: gone(w, "pay-canary"))
        await order(w, "promote")  # there is nothing to promote
        again = await w.until(MICRO_SERVICE, NAME, lambda o: COMMAND not in annotations_of(o))
        assert again["status"]["phase"] == "RolledBack"


async def test_paused_by_the_spec_nothing_begins(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await start(w)
        await change(w, version="2.0.0", rollout={"paused": True})
        seen = await w.until(
            MICRO_SERVICE,
            NAME,
            lambda o: o["status"].get("observedGeneration") == o["metadata"]["generation"],
        )
        assert rollout(seen)["version"] == "1.0.0"
        assert await images(w, "platform.example.com/microservice") == {"pay:1.0.0"}
        await change(w, rollout={"paused": None})
        assert (await w.phase(NAME, "Ready"))["status"]["version"] == "2.0.0"


async def test_another_version_takes_the_place_of_a_canary(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        wish = {"steps": [{"weight": 25, "approval": True}]}
        await start(w, rollout=wish)
        await change(w, version="2.0.0")
        await w.until(MICRO_SERVICE, NAME, lambda o: rollout(o).get("weight") == 25)
        await change(w, version="3.0.0")
        await w.until(
            MICRO_SERVICE,
            NAME,
            lambda o: rollout(o).get("weight") == 25 and rollout(o)["version"] == "3.0.0",
        )
        assert await images(w, "platform.example.com/canary-of") == {"pay:3.0.0"}
        # And back to what serves: there is nothing to compare.
        await change(w, version="1.0.0")
        assert (await w.phase(NAME, "Ready"))["status"]["version"] == "1.0.0"
        await eventually(lambda: gone(w, "pay-canary"))


async def test_the_number_of_pods_follows_the_load(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.meter.traffics[NAME] = Traffic(100, 0, 0.01, 10)
        wish = {"maxReplicas": 5, "requestsPerSecond": 5, "scaleDownStabilization": "0s"}
        await start(w, replicas=2, autoscaling=wish)
        w.meter.traffics[NAME] = Traffic(200, 0, 0.01, 10)
        grown = await w.until(
            MICRO_SERVICE, NAME, lambda o: (o.get("status") or {}).get("readyReplicas") == 4
        )
        assert grown["spec"]["replicas"] == 2
        budget = await w.client.get(POD_DISRUPTION_BUDGET, NAME, "default")
        assert budget["spec"]["maxUnavailable"] == 1
        w.meter.traffics[NAME] = Traffic(1, 0, 0.01, 10)
        await w.until(
            MICRO_SERVICE, NAME, lambda o: (o.get("status") or {}).get("readyReplicas") == 1
        )
        await eventually(lambda: _no_budget(w))


async def _no_budget(w: World) -> bool:
    return not await w.items(POD_DISRUPTION_BUDGET)


async def test_a_hook_that_is_a_file_runs_in_a_pod(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.commands.codes = [3]
        await start(w, lifecyclePolicy={"postRolloutHook": "done.sh"})
        (_, first, told), (pod, again, told_again) = w.commands.runs
        assert first == again == ["./done.sh"]
        assert told["idempotencyKey"] == told_again["idempotencyKey"]
        assert (told["attempt"], told_again["attempt"]) == (1, 2)
        assert pod == told_again["pod"]
        found = await w.client.get(MICRO_SERVICE, NAME, "default")
        hook = find(found["status"]["conditions"], "PostRolloutHook") or {}
        assert hook["status"] == "True"


async def test_a_rollback_brings_the_configuration_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        quick = {"progressDeadlineSeconds": 1}
        await start(w, config={"a": "1"}, rollout=quick)
        await change(w, version="2.0.0", image="pay:bad", config={"a": "2"})
        await w.phase(NAME, "RolledBack")
        await eventually(lambda: has_files(w, NAME, {"a": "1"}))


async def test_with_a_config_path_the_first_file_restarts_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await start(w, configPath="/etc/pay")
        before = {p["metadata"]["uid"] for p in await w.items(POD)}
        await change(w, config={"a": "1"})
        done = await w.phase(NAME, "Ready")
        assert (find(done["status"]["conditions"], "ConfigApplied") or {})["status"] == "True"
        assert {p["metadata"]["uid"] for p in await w.items(POD)} == before
