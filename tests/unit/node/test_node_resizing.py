"""Ephemeral containers and resources that change, by the agent and its fakes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.model.resources import POD
from cloudwright.model.sandbox import ContainerState, Limits
from cloudwright.node import resizing
from tests.unit.node.fakes import Program
from tests.unit.node.world import IMAGE, World, container_status, eventually, is_ready, world

pytestmark = pytest.mark.anyio
SMALL = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
AMOUNTS = st.sampled_from(["100m", "0.1", "1", "2", "2000m"])


async def patch(w: World, subresource: str, spec: dict[str, Any], name: str = "p") -> None:
    await w.client.patch(POD, name, {"spec": spec}, "default", subresource=subresource)


async def resize(w: World, resources: dict[str, Any], name: str = "p", **more: Any) -> None:
    container = {"name": "app", "image": IMAGE, "resources": resources, **more}
    await patch(w, "resize", {"containers": [container]}, name)


def condition(pod: Object, kind: str) -> dict[str, Any]:
    found = conditions.find((pod.get("status") or {}).get("conditions"), kind)
    return dict(found or {})


def ephemeral(pod: Object) -> dict[str, Any]:
    found = (pod.get("status") or {}).get("ephemeralContainerStatuses") or [{}]
    return dict(found[0])


async def test_an_ephemeral_container_runs_once_in_the_pod(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        w.runtime.programs["dbg"] = Program(3)
        await w.create()
        await w.ready()
        debug = {"name": "dbg", "image": IMAGE, "targetContainerName": "app", "tty": True}
        await patch(w, "ephemeralcontainers", {"ephemeralContainers": [debug]})
        pod = await w.until(lambda p: "terminated" in ephemeral(p).get("state", {}))
        assert ephemeral(pod)["state"]["terminated"]["exitCode"] == 3
        assert (ephemeral(pod)["ready"], ephemeral(pod)["restartCount"]) == (False, 0)
        assert "started" not in ephemeral(pod)
        assert is_ready(pod)
        spec = next(s for s in w.runtime.specs.values() if s.name == "dbg")
        running = {c.id: c for c in await w.runtime.containers()}
        assert running[spec.target].state is ContainerState.RUNNING
        assert (spec.tty, spec.debugs) == (True, True)
        assert container_status(pod)["restartCount"] == 0
        await w.delete()
        await w.gone()
        assert not w.leaks()


async def test_an_ephemeral_container_runs_also_where_the_others_cannot(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running():
        await w.create(container={"image": "missing:1"})
        await w.until(lambda p: "waiting" in container_status(p).get("state", {}))
        debug = {"name": "dbg", "image": IMAGE}
        await patch(w, "ephemeralcontainers", {"ephemeralContainers": [debug]})
        pod = await w.until(lambda p: "running" in ephemeral(p).get("state", {}))
        assert pod["status"]["phase"] == "Pending"


async def test_limits_change_in_place_and_survive_the_agent(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        async with w.running():
            await w.create(container={"resources": SMALL})
            pod = await w.ready()
            assert container_status(pod)["resources"] == SMALL
            more = {**SMALL, "limits": {"cpu": "2", "memory": "256Mi"}}
            await resize(w, more)
            pod = await w.until(lambda p: container_status(p)["resources"] == more)
            assert container_status(pod)["allocatedResources"] == SMALL["requests"]
            assert container_status(pod)["restartCount"] == 0
            (limits,) = w.runtime.limits.values()
            assert limits == Limits(256 << 20, 2000, 102)
            pod = await w.until(lambda p: not condition(p, "PodResizeInProgress"))
            assert "ResizeCompleted" in await w.reasons()
        w.runtime.limits.clear()
        async with w.running():
            await resize(w, SMALL)
            await w.until(lambda p: container_status(p)["resources"] == SMALL)
            assert len(w.runtime.limits) == 1


async def test_a_container_restarts_where_its_policy_says_so(tmp_path: Path) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    async with world(tmp_path) as w, w.running():
        await w.create(container={"resources": SMALL, "resizePolicy": policy})
        await w.ready()
        faster = {**SMALL, "limits": {"cpu": "2", "memory": "128Mi"}}
        await resize(w, faster, resizePolicy=policy)
        pod = await w.until(lambda p: container_status(p)["resources"] == faster)
        assert container_status(pod)["restartCount"] == 0
        larger = {**SMALL, "limits": {"cpu": "2", "memory": "256Mi"}}
        await resize(w, larger, resizePolicy=policy)
        pod = await w.until(lambda p: container_status(p).get("resources") == larger)
        assert container_status(pod)["restartCount"] == 1


async def test_what_does_not_fit_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.running() as agent:
        total = int(Decimal(str(agent.node.machine["cpu"])) * 1000)
        half = {"requests": {"cpu": f"{total * 6 // 10}m"}}
        small = {"requests": {"cpu": "1m"}}
        await w.create("other", container={"resources": half})
        await w.create(container={"resources": small})
        await w.ready("other")
        await w.ready()
        await resize(w, {"requests": {"cpu": f"{total * 2}m"}})
        pod = await w.until(lambda p: bool(condition(p, "PodResizePending")))
        assert condition(pod, "PodResizePending")["reason"] == "Infeasible"
        assert (
            "Node didn't have enough capacity: cpu" in condition(pod, "PodResizePending")["message"]
        )
        await resize(w, half)
        pod = await w.until(lambda p: condition(p, "PodResizePending").get("reason") == "Deferred")
        assert container_status(pod)["resources"] == small
        assert container_status(pod)["allocatedResources"] == small["requests"]
        assert not w.runtime.limits
        await w.delete("other")
        pod = await w.until(lambda p: container_status(p)["resources"] == half)
        await w.until(lambda p: not condition(p, "PodResizePending"))


async def test_a_resize_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    failures = ["below current usage", "below current usage"]
    async with world(tmp_path) as w, w.running():

        def step(name: str) -> None:
            if name.startswith("update_container") and failures:
                from cloudwright._base.errors import UsageError

                raise UsageError(failures.pop())

        w.runtime.step = step
        await w.create(container={"resources": SMALL})
        await w.ready()
        more = {**SMALL, "limits": {"cpu": "2", "memory": "256Mi"}}
        await resize(w, more)
        await w.until(lambda p: container_status(p)["resources"] == more)
        assert "ResizeError" in await w.reasons()

        async def settled() -> bool:
            return not condition(await w.get(), "PodResizeInProgress")

        await eventually(settled)


@given(st.dictionaries(st.sampled_from(["cpu", "memory", "disk"]), AMOUNTS), AMOUNTS)
def test_equal_amounts_are_no_difference(limits: dict[str, str], other: str) -> None:
    container = {"resources": {"limits": limits}}
    has = resizing.stated(container)
    assert resizing.differences(container, has) == set()
    assert resizing.differences(container, None) == set()
    changed = {"resources": {"limits": {**limits, "cpu": other}}}
    same = "cpu" in limits and Decimal(_plain(limits["cpu"])) == Decimal(_plain(other))
    assert resizing.differences(changed, has) == (set() if same else {"cpu"})


def _plain(text: str) -> str:
    return str(Decimal(text[:-1]) / 1000) if text.endswith("m") else text
