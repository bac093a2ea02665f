from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.errors import CloudwrightError
from cloudwright.model.objects import uid_of
from cloudwright.model.resources import CONFIG_MAP, LEASE, NODE, POD
from tests.unit.node.fakes import Program
from tests.unit.node.world import World, container_status, eventually, is_ready, world

pytestmark = pytest.mark.anyio


async def test_registers_the_node_and_its_lease(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        node = await w.client.get(NODE, "here")
        assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
        assert {c["type"] for c in node["status"]["conditions"]} >= {"Ready", "MemoryPressure"}
        assert int(node["status"]["capacity"]["cpu"]) > 0

        async def leased() -> bool:
            found = (await w.client.list(LEASE, "kube-node-lease")).items
            return [x["spec"]["holderIdentity"] for x in found] == ["here"]

        await eventually(leased)


async def test_a_pod_starts_in_order_and_ends_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        created = await w.create()
        done = await w.ready()
        uid = uid_of(created)
        status = done["status"]
        assert status["phase"] == "Running"
        assert status["podIP"] == "10.244.0.2"
        assert status["hostIP"] == "127.0.0.1"
        assert container_status(done)["containerID"].startswith("crun://")
        assert container_status(done)["imageID"].startswith("sha256:")
        verbs = [verb for verb, _ in w.runtime.calls]
        order = ["ensure_sandbox", "start_process", "create_container", "start_container"]
        assert [v for v in verbs if v in order] == order
        await w.delete()
        await w.gone()
        tail = [verb for verb, _ in w.runtime.calls][len(verbs) :]
        assert tail == ["signal_container", "stop_process", "remove_sandbox"]
        assert w.mesh.drained_ips == ["10.244.0.2"]
        assert w.leaks() == []
        assert uid not in w.network.places


async def test_the_pod_is_unready_before_it_is_drained(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        await w.create()
        await w.ready()
        w.mesh.drain_gate = anyio.Event()
        await w.delete()
        await w.until(lambda p: not is_ready(p))
        assert w.runtime.running(), "SIGTERM must wait until no proxy sends"
        w.mesh.drain_gate.set()
        await w.gone()


async def test_init_containers_run_one_after_the_other(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        w.runtime.programs.update(one=[Program(1), Program(0)], two=Program(0))
        init = [{"name": n, "image": "shop:1"} for n in ("one", "two")]
        await w.create(initContainers=init)
        await w.ready()
        names = [target.split("-")[1] for target in w.runtime.starts()]
        assert names == ["one", "one", "two", "app"]


async def test_a_crashing_container_backs_off_and_keeps_its_last_state(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        w.runtime.programs["app"] = [Program(3), Program(3, oom=True), Program(7)]
        await w.create()
        done = await w.until(lambda p: container_status(p).get("restartCount") == 3)
        done = await w.ready()
        assert container_status(done)["lastState"]["terminated"]["exitCode"] == 7
        text = "Back-off restarting failed container app in pod p"
        assert text in await w.messages("BackOff")


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 2, "Failed"), ("OnFailure", 0, "Succeeded")],
)
async def test_a_pod_that_ends_keeps_only_its_status(
    tmp_path: Path, policy: str, code: int, phase: str
) -> None:
    async with world(tmp_path) as w, w.running():
        w.runtime.programs["app"] = Program(code, output=("bye",))
        await w.create(restartPolicy=policy)
        done = await w.until(lambda p: (p.get("status") or {}).get("phase") == phase)
        assert container_status(done)["state"]["terminated"]["exitCode"] == code

        async def empty() -> bool:
            return not w.runtime.leaks() and not w.network.places

        await eventually(empty)
        assert (await w.get())["status"]["phase"] == phase
        assert len(w.runtime.starts()) == 1


async def test_a_missing_image_says_so_and_starts_once_it_is_built(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running() as agent:
        await w.create(container={"image": "later:1"})

        def waiting(p: dict[str, Any]) -> bool:
            return "image not found: later:1" in (
                container_status(p).get("state", {}).get("waiting", {}).get("message", "")
            )

        failed = await w.until(waiting)
        reason = container_status(failed)["state"]["waiting"]["reason"]
        assert reason in ("ErrImagePull", "ImagePullBackOff")
        w.runtime.add_image("later:1")
        agent.image_built("later:1")
        await w.ready()


async def test_failing_neighbours_are_tried_again_and_told(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        w.network.failures = [CloudwrightError("no address is free")]
        w.runtime.failures["create_container"] = [CloudwrightError("the disk is full")]
        w.runtime.failures["start_process"] = [CloudwrightError("no such program")]
        await w.create()
        await w.ready()
        assert await w.messages("FailedCreatePodSandBox")
        assert any("the disk is full" in text for text in await w.messages("Failed"))


async def test_readiness_follows_its_probe(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        bad = {"ok": False, "status": 503, "message": "no"}
        w.mesh.answers[8080] = bad
        probe = {"httpGet": {"port": "http", "path": "/health/ready"}, "periodSeconds": 1}
        ports = [{"name": "http", "containerPort": 8080}]
        await w.create(
            container={"readinessProbe": {**probe, "failureThreshold": 1}, "ports": ports}
        )

        async def warned() -> bool:
            texts = await w.messages("Unhealthy")
            return "Readiness probe failed: HTTP probe failed with statuscode: 503" in texts

        await eventually(warned)
        assert not is_ready(await w.get())
        w.mesh.answers.clear()
        await w.ready()
        assert w.mesh.asked[0]["path"] == "/health/ready"
        w.mesh.answers[8080] = bad
        await w.until(lambda p: not is_ready(p))
        assert len(w.runtime.starts()) == 1


async def test_a_failing_liveness_probe_restarts(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        w.runtime.execs[("check",)] = (1, "broken")
        probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
        await w.create(container={"livenessProbe": probe})
        await w.until(lambda p: container_status(p).get("restartCount", 0) >= 1)
        assert "Container app failed liveness probe, will be restarted" in await w.messages(
            "Killing"
        )
        assert "Liveness probe failed: broken" in await w.messages("Unhealthy")


async def test_a_dead_sidecar_makes_the_pod_unready(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        uid = uid_of(await w.create())
        await w.ready()
        w.runtime.crash_process(f"sidecar-{uid}")
        await w.until(lambda p: not is_ready(p))
        w.runtime.revive_process(f"sidecar-{uid}")
        await w.ready()
        assert len(w.runtime.starts()) == 1


async def test_a_dead_sidecar_does_not_restart_the_application(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 1}
        uid = uid_of(await w.create(container={"livenessProbe": probe}))
        await w.ready()
        w.runtime.crash_process(f"sidecar-{uid}")

        async def asked_in_vain() -> bool:
            return w.mesh.refused >= 2

        await eventually(asked_in_vain)
        w.runtime.revive_process(f"sidecar-{uid}")
        await w.ready()
        assert len(w.runtime.starts()) == 1


async def test_hooks_run_before_sigterm(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        hook = {"preStop": {"exec": {"command": ["scripts/pre-stop.sh"]}}}
        note = {"cloudwright.dev/pre-stop-webhook": "webhook://sync"}
        await w.create(container={"lifecycle": hook}, annotations=note)
        await w.ready()
        await w.delete()
        await w.gone()
        verbs = [verb for verb, _ in w.runtime.calls]
        assert verbs.index("exec") < verbs.index("signal_container")
        url, space, payload = w.hooks.calls[0]
        assert (url, space, payload["event"]) == ("webhook://sync", "default", "PreStop")


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_broken_hook_is_told_and_the_pod_ends(tmp_path: Path, hangs: bool) -> None:
    async with world(tmp_path) as w, w.running():
        argv = ("stop",)
        if hangs:
            w.runtime.hanging_execs.add(argv)
        else:
            w.runtime.execs[argv] = (9, "oh")
        w.hooks.error = CloudwrightError("502")
        hook = {"preStop": {"exec": {"command": list(argv)}}}
        note = {"cloudwright.dev/pre-stop-webhook": "webhook://sync"}
        await w.create(container={"lifecycle": hook}, annotations=note)
        await w.ready()
        await w.delete(grace=1)
        await w.gone()
        texts = await w.messages("FailedPreStopHook")
        assert len(texts) == 2
        assert any("did not end within 1s" in t or "exited with 9" in t for t in texts)
        assert w.leaks() == []


async def test_a_stubborn_container_is_killed(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        w.runtime.programs["app"] = Program(stubborn=True)
        await w.create()
        await w.ready()
        await w.delete(grace=1)
        await w.gone()
        signals = [t.rpartition(":")[2] for v, t in w.runtime.calls if v == "signal_container"]
        assert signals[0] == "15"
        assert "9" in signals
        assert w.leaks() == []


async def test_deleted_while_it_waits_for_an_image(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        await w.create(container={"image": "never:1"})
        await w.until(lambda p: "waiting" in container_status(p).get("state", {}))
        await w.delete()
        await w.gone()
        assert w.leaks() == []


async def test_a_config_map_is_projected_and_follows_its_object(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        mount = {"name": "c", "mountPath": "/etc/config"}
        uid = uid_of(
            await w.create(
                container={"volumeMounts": [mount]},
                volumes=[{"name": "c", "configMap": {"name": "cm"}}],
            )
        )

        async def missing() -> bool:
            texts = await w.messages("FailedMount")
            return any('configmap "cm" not found' in text for text in texts)

        await eventually(missing)
        one = await w.config_map("cm", mode="old")
        await w.ready()
        file = w.paths.pods / uid / "volumes" / "c" / "mode"
        assert file.read_text() == "old"
        note = "cloudwright.dev/config-applied"

        def applied(version: str):
            return lambda p: p["metadata"]["annotations"].get(note) == f"cm@{version}"

        await w.until(applied(one["metadata"]["resourceVersion"]))
        two = await w.config_map("cm", mode="new")
        await w.until(applied(two["metadata"]["resourceVersion"]))
        assert file.read_text() == "new"
        assert len(w.runtime.starts()) == 1
        await w.client.delete(CONFIG_MAP, "cm", "default")
        await w.delete()
        await w.gone()


async def test_unsupported_pods_fail_with_the_reason(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        sidecar = {"name": "helper", "image": "app:1", "restartPolicy": "Always"}
        await w.create(initContainers=[sidecar])
        done = await w.until(lambda p: (p.get("status") or {}).get("phase") == "Failed")
        assert "restartPolicy Always is not supported" in done["status"]["message"]
        assert w.runtime.starts() == []


async def test_a_restarted_agent_takes_over_and_restarts_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        async with w.running():
            await w.create(container={"readinessProbe": {"tcpSocket": {"port": 8080}}})
            await w.ready()
        before = await w.get()
        w.mesh.asked.clear()
        w.mesh.delay = 0.1
        async with w.running() as agent:
            w.runtime.lose()

            async def probed() -> bool:
                return len(w.mesh.asked) > 0

            await eventually(probed)
            await w.config_map("marker", key="value")
            lines = await agent.usage()
            assert {line.container for line in lines} == {"app", "sidecar"}
        assert len(w.runtime.starts()) == 1
        assert await readiness_since(w, before) == set(), "no blip that endpoints would follow"


async def readiness_since(w: World, known: dict[str, Any]) -> set[bool]:
    """What every later revision of the pod said of its readiness, apart from ready."""
    version = known["metadata"]["resourceVersion"]
    said: set[bool] = set()
    events = w.client.watch(POD, "default", resource_version=version, timeout_seconds=1)
    async with aclosing(events) as stream:
        with anyio.move_on_after(1.5):
            async for event in stream:
                if event.type != "BOOKMARK" and not is_ready(event.object):
                    said.add(False)
    return said


async def test_what_belongs_to_no_pod_is_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        async with w.running():
            await w.create()
            await w.ready()
        await w.client.delete(POD, "p", "default", grace_seconds=0)
        await w.gone()
        assert w.leaks()
        async with w.running():

            async def clean() -> bool:
                return w.leaks() == []

            await eventually(clean)


async def test_a_bug_in_one_pod_reaches_no_other_and_is_survived(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        await w.create("good")
        await w.ready("good")
        before = await w.get("good")
        bugs = [ZeroDivisionError("a bug"), ZeroDivisionError("again")]

        def step(verb: str) -> None:
            if verb in ("create_container", "signal_container") and bugs:
                raise bugs.pop()

        w.runtime.step = step
        await w.create("bad")
        await w.ready("bad")
        assert bugs == []
        bugs.append(ZeroDivisionError("at its end, too"))
        await w.delete("bad")
        await w.gone("bad")
        assert bugs == []
        assert (await w.get("good"))["status"] == before["status"]
        assert len(w.runtime.starts()) == 2


async def test_events_of_the_runtime_may_break_off(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        await w.create()
        await w.ready()
        container = w.runtime.running()[0]
        w.runtime.break_off()
        w.runtime.end(container, 1)
        await w.until(lambda p: container_status(p).get("restartCount") == 1)
        await w.ready()


async def test_a_killed_supervisor_costs_one_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        await w.create()
        await w.ready()
        w.runtime.perish()
        await w.until(lambda p: container_status(p).get("restartCount") == 1)
        done = await w.ready()
        last = container_status(done)["lastState"]["terminated"]
        assert last["reason"] == "ContainerStatusUnknown"
        await w.delete()
        await w.gone()
        assert w.leaks() == []
