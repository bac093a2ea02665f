"""The life cycle of a MicroService, from its YAML to its removal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, annotations_of, deleting, finalizers_of, owned_by
from cloudwright.model.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    MICRO_SERVICE,
    POD,
    ROUTE,
    SERVICE,
)
from tests.integration.operator_world import World, eventually, world

pytestmark = pytest.mark.anyio
HOOK = "webhook://config-sync"


def service(name: str = "payment", version: str = "1.12.0", **spec: Any) -> Object:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "version": version,
            "replicas": 3,
            "readinessProbePath": "/health/ready",
            **spec,
        },
    }


def condition(obj: Object, kind: str) -> dict[str, Any]:
    return find((obj.get("status") or {}).get("conditions"), kind) or {}


async def change(w: World, **spec: Any) -> None:
    await w.client.patch(MICRO_SERVICE, "payment", {"spec": spec}, "default")


async def pods_of(w: World) -> list[Object]:
    return [pod for pod in await w.items(POD) if not deleting(pod)]


async def test_one_object_becomes_everything_it_stands_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        policy = {"preStopHook": "scripts/pre-stop.sh", "postRolloutHook": HOOK}
        wish = service(lifecyclePolicy=policy, config={"a.json": "{}"}, egress=True)
        await w.client.create(MICRO_SERVICE, wish)
        ready = await w.phase("payment", "Ready")
        assert finalizers_of(ready) == ["platform.example.com/cleanup"]
        for resource in (CONFIG_MAP, DEPLOYMENT, SERVICE, ROUTE):
            assert owned_by(await w.client.get(resource, "payment", "default"), ready)
        status = ready["status"]
        assert (status["version"], status["lastGoodVersion"]) == ("1.12.0", "1.12.0")
        assert (status["readyReplicas"], status["updatedReplicas"]) == (3, 3)
        assert status["url"] == "/payment"
        assert condition(ready, "Ready")["message"] == "3 of 3 replicas ready, version 1.12.0"
        pod = (await pods_of(w))[0]
        container = pod["spec"]["containers"][0]
        assert container["image"] == "payment:1.12.0"
        assert container["lifecycle"]["preStop"]["exec"]["command"] == ["scripts/pre-stop.sh"]
        assert annotations_of(pod)["cloudwright.dev/egress"] == "true"
        assert w.hooks.events() == [("PostRollout", "1.12.0")]
        url, payload = w.hooks.calls[0]
        assert (url, payload["name"], payload["previousVersion"]) == (HOOK, "payment", "")

        async def told() -> bool:
            reasons = {e["reason"] for e in await w.items(EVENT)}
            return {"RolloutStarted", "CreatedDeployment", "RolloutComplete", "Ready"} <= reasons

        await eventually(told)


async def test_a_patch_of_the_version_goes_forth_and_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        wish = service(lifecyclePolicy={"postRolloutHook": HOOK})
        await w.client.create(MICRO_SERVICE, wish)
        await w.phase("payment", "Ready")
        for version in ("1.11.0", "1.12.0"):
            await change(w, version=version)
            done = await w.phase("payment", "Ready")
            assert done["status"]["version"] == version
            images = {p["spec"]["containers"][0]["image"] for p in await pods_of(w)}
            assert images == {f"payment:{version}"}
        assert w.hooks.events() == [
            ("PostRollout", "1.12.0"),
            ("PostRollout", "1.11.0"),
            ("PostRollout", "1.12.0"),
        ]
        assert w.hooks.calls[-1][1]["previousVersion"] == "1.11.0"


async def test_a_bad_version_is_rolled_back_and_named(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        hook = {"postRolloutHook": HOOK}
        wish = service(rollout={"progressDeadlineSeconds": 1}, lifecyclePolicy=hook)
        await w.client.create(MICRO_SERVICE, wish)
        await w.phase("payment", "Ready")
        good = {p["metadata"]["uid"] for p in await pods_of(w)}
        await change(w, version="1.13.0", image="payment:missing")
        back = await w.until(
            MICRO_SERVICE,
            "payment",
            lambda o: (
                o["status"].get("phase") == "RolledBack"
                and o["status"].get("readyReplicas") == 3
                and o["status"].get("updatedReplicas") == 3
            ),
        )
        failed = condition(back, "RolloutFailed")
        assert failed["status"] == "True"
        assert "image payment:missing not found" in failed["message"]
        assert "back to 1.12.0" in failed["message"]
        assert back["spec"]["version"] == "1.13.0"
        assert back["status"]["lastGoodVersion"] == "1.12.0"

        async def only_good() -> bool:
            return {p["metadata"]["uid"] for p in await pods_of(w)} == good

        await eventually(only_good)
        await eventually(lambda: _called(w, 2))
        assert w.hooks.events()[-1] == ("PostRollout", "1.12.0")
        assert w.hooks.calls[-1][1]["previousVersion"] == "1.13.0"
        # A new generation tries again: this one is good.
        rollout = {"progressDeadlineSeconds": 60}
        await change(w, version="1.14.0", image=None, rollout=rollout)
        done = await w.phase("payment", "Ready")
        assert done["status"]["lastGoodVersion"] == "1.14.0"
        assert condition(done, "RolloutFailed")["status"] == "False"


async def _called(w: World, count: int) -> bool:
    return len(w.hooks.calls) >= count


async def test_without_automatic_rollback_it_fails_and_the_old_version_serves(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        rollout = {"progressDeadlineSeconds": 1, "autoRollback": False}
        await w.client.create(MICRO_SERVICE, service(rollout=rollout))
        await w.phase("payment", "Ready")
        await change(w, version="1.13.0", image="payment:bad")
        failed = await w.phase("payment", "Failed")
        assert condition(failed, "RolloutFailed")["reason"] == "ProgressDeadlineExceeded"
        assert (
            "readiness probe failed: HTTP probe failed with statuscode: 503"
            in (failed["status"]["message"])
        )
        assert condition(failed, "Available")["status"] == "True"
        assert failed["status"]["version"] == "1.12.0"
        await change(w, version="1.12.0", image=None)
        await w.phase("payment", "Ready")


async def test_it_waits_for_its_dependencies_and_says_for_which(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        needs = [{"name": "inventory"}]
        await w.client.create(MICRO_SERVICE, service(dependencies=needs))
        waiting = await w.phase("payment", "WaitingForDependencies")
        assert condition(waiting, "DependenciesReady")["message"] == (
            "waiting for default/inventory (does not exist)"
        )
        assert await w.items(DEPLOYMENT) == []
        await w.client.create(MICRO_SERVICE, service("inventory"))
        ready = await w.phase("payment", "Ready")
        assert condition(ready, "DependenciesReady")["status"] == "True"


async def test_configuration_changes_without_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        wish = service(config={"a": "1"}, lifecyclePolicy={"postRolloutHook": HOOK})
        await w.client.create(MICRO_SERVICE, wish)
        await w.phase("payment", "Ready")
        before = {p["metadata"]["uid"] for p in await pods_of(w)}
        w.node.apply_config = False
        await change(w, config={"a": "2"})
        waiting = await w.until(
            MICRO_SERVICE, "payment", lambda o: condition(o, "ConfigApplied")["status"] == "False"
        )
        assert "0 of 3 pods have payment@" in condition(waiting, "ConfigApplied")["message"]
        assert len(w.hooks.calls) == 1
        w.node.apply_config = True
        w.node.kick()
        done = await w.until(
            MICRO_SERVICE, "payment", lambda o: condition(o, "ConfigApplied")["status"] == "True"
        )
        await eventually(lambda: _called(w, 2))
        event = w.hooks.calls[-1][1]
        config = await w.client.get(CONFIG_MAP, "payment", "default")
        assert config["data"] == {"a": "2"}
        assert event["event"] == "ConfigChanged"
        assert event["configRevision"] == config["metadata"]["resourceVersion"]
        assert {p["metadata"]["uid"] for p in await pods_of(w)} == before
        assert done["status"]["phase"] == "Ready"


async def test_a_failing_hook_is_tried_again_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudwright.operator.engines.microservice import hooks as microservice_hooks

    monkeypatch.setattr(microservice_hooks, "HOOK_FIRST_WAIT", 0.02)
    monkeypatch.setattr(microservice_hooks, "HOOK_ATTEMPTS", 3)
    async with world(tmp_path) as w:
        w.hooks.fail = 2
        wish = service(lifecyclePolicy={"postRolloutHook": HOOK})
        await w.client.create(MICRO_SERVICE, wish)
        ready = await w.phase("payment", "Ready")
        assert len(w.hooks.calls) == 3
        assert condition(ready, "PostRolloutHook")["status"] == "True"
        w.hooks.fail = 3
        await change(w, version="1.13.0")
        failed = await w.until(
            MICRO_SERVICE,
            "payment",
            lambda o: o["status"].get("version") == "1.13.0" and o["status"]["phase"] == "Ready",
        )
        assert len(w.hooks.calls) == 6
        entry = condition(failed, "PostRolloutHook")
        assert (entry["status"], entry["reason"]) == ("False", "HookFailed")
        assert "the hook answered 500" in condition(failed, "Ready")["message"]


async def test_a_hook_that_hangs_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudwright.operator.engines.microservice import hooks as microservice_hooks

    monkeypatch.setattr(microservice_hooks, "HOOK_ATTEMPTS", 1)
    async with world(tmp_path) as w:
        w.hooks.hang = True
        wish = service(lifecyclePolicy={"postRolloutHook": HOOK})
        await w.client.create(MICRO_SERVICE, wish)
        ready = await w.phase("payment", "Ready")
        assert "no answer within 1 s" in condition(ready, "PostRolloutHook")["message"]


async def test_scaling_rolls_nothing_out(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        wish = service(lifecyclePolicy={"postRolloutHook": HOOK})
        await w.client.create(MICRO_SERVICE, wish)
        await w.phase("payment", "Ready")
        before = {p["metadata"]["uid"] for p in await pods_of(w)}
        await change(w, replicas=4)
        scaled = await w.phase("payment", "Ready")
        assert scaled["status"]["readyReplicas"] == 4
        assert before < {p["metadata"]["uid"] for p in await pods_of(w)}
        assert len(w.hooks.calls) == 1


async def test_deleting_it_removes_everything_after_the_pods(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.client.create(MICRO_SERVICE, service(config={"a": "1"}))
        await w.phase("payment", "Ready")
        w.node.frozen = True
        await w.client.delete(MICRO_SERVICE, "payment", "default")
        going = await w.until(
            MICRO_SERVICE,
            "payment",
            lambda o: (
                o["status"].get("phase") == "Terminating"
                and "pod payment-" in condition(o, "Ready")["message"]
            ),
        )
        assert finalizers_of(going) == ["platform.example.com/cleanup"]
        await w.until_gone(ROUTE, "payment")
        assert await w.items(SERVICE)  # the pods may still be called while they drain
        w.node.frozen = False
        w.node.kick()
        await w.until_gone(MICRO_SERVICE, "payment")
        for resource in (DEPLOYMENT, SERVICE, CONFIG_MAP, POD):
            assert await w.items(resource) == []


async def test_a_service_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        foreign = {
            "metadata": {"name": "payment", "namespace": "default"},
            "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}},
        }
        await w.client.create(SERVICE, foreign)
        await w.client.create(MICRO_SERVICE, service())
        clash = await w.phase("payment", "Failed")
        assert condition(clash, "Ready")["reason"] == "ChildClash"
        assert await w.items(DEPLOYMENT) == []
        await w.client.delete(SERVICE, "payment", "default")
        await w.phase("payment", "Ready")


async def test_what_others_damage_is_repaired(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.client.create(MICRO_SERVICE, service())
        await w.phase("payment", "Ready")
        await w.client.delete(ROUTE, "payment", "default")
        await w.client.patch(DEPLOYMENT, "payment", {"spec": {"replicas": 1}}, "default")
        await w.until(ROUTE, "payment", lambda o: not deleting(o))
        await w.until(DEPLOYMENT, "payment", lambda o: o["spec"]["replicas"] == 3)
        await w.phase("payment", "Ready")
        with anyio.fail_after(20):
            await eventually(lambda: _three(w))


async def test_a_restart_by_kubectl_survives_a_change_of_size(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.client.create(MICRO_SERVICE, service())
        await w.phase("payment", "Ready")
        stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-24T08:00:00Z"}
        template = {"metadata": {"annotations": stamp}}
        await w.client.patch(DEPLOYMENT, "payment", {"spec": {"template": template}}, "default")

        async def restarted() -> bool:
            pods = await pods_of(w)
            return len(pods) == 3 and all(stamp.items() <= annotations_of(p).items() for p in pods)

        await eventually(restarted)
        await w.phase("payment", "Ready")
        before = {p["metadata"]["uid"] for p in await pods_of(w)}
        await change(w, replicas=4)
        await w.phase("payment", "Ready")
        assert before < {p["metadata"]["uid"] for p in await pods_of(w)}


async def test_when_all_is_done_nothing_is_written_any_more(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        wish = service(
            config={"a": "1"},
            lifecyclePolicy={"postRolloutHook": HOOK},
            resources={"limits": {"cpu": "0.5", "memory": "128Mi"}},
            env=[{"name": "A", "value": "b"}],
            ports=[
                {"name": "http", "port": 8080},
                {"name": "grpc", "port": 90, "protocol": "grpc"},
            ],
        )
        await w.client.create(MICRO_SERVICE, wish)
        await w.phase("payment", "Ready")

        async def versions() -> list[str]:
            # A list stands for the store's newest revision: any write would show.
            return [(await w.client.list(MICRO_SERVICE)).resource_version]

        async def quiet() -> bool:
            first = await versions()
            await anyio.sleep(0.3)
            return first == await versions()

        await eventually(quiet)


async def _three(w: World) -> bool:
    return len(await pods_of(w)) == 3
