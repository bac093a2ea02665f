"""The agent is killed at any step of a pod's life; its successor converges."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudwright.model.objects import deleting
from cloudwright.model.resources import POD
from tests.unit.node.fakes import Program
from tests.unit.node.world import World, eventually, is_ready, world

pytestmark = pytest.mark.anyio
PODS = ("one", "two")


class Killer:
    """Ends an agent at the n-th step that any neighbour is asked for."""

    def __init__(self, w: World, steps: int) -> None:
        self.left = steps
        self.scope: anyio.CancelScope | None = None
        w.runtime.step = w.network.step = w.mesh.step = self

    def __call__(self, name: str) -> None:
        self.left -= 1
        if self.left == 0 and self.scope is not None:
            self.scope.cancel()


async def run_until_killed(w: World, steps: int, patience: float = 0.5) -> None:
    killer = Killer(w, steps)
    with anyio.move_on_after(patience) as scope:
        killer.scope = scope
        await w.agent().run()


async def make(w: World) -> None:
    await w.config_map("cm", key="value")
    hook = {"preStop": {"exec": {"command": ["bye"]}}}
    w.runtime.programs["first"] = Program(0)
    for name in PODS:
        await w.create(
            name,
            initContainers=[{"name": "first", "image": "shop:1"}],
            container={"lifecycle": hook, "volumeMounts": [{"name": "c", "mountPath": "/c"}]},
            volumes=[{"name": "c", "configMap": {"name": "cm"}}],
        )


async def settle(w: World, want: bool) -> None:
    async def settled() -> bool:
        pods = (await w.client.list(POD)).items
        if want:
            return len(pods) == len(PODS) and all(is_ready(p) for p in pods)
        return not pods and w.leaks() == []

    await eventually(settled)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(up=st.lists(st.integers(1, 22), max_size=3), down=st.lists(st.integers(1, 16), max_size=3))
async def test_killed_at_any_step_it_converges_and_leaks_nothing(
    tmp_path_factory: pytest.TempPathFactory, up: list[int], down: list[int]
) -> None:
    async with world(tmp_path_factory.mktemp("w")) as w:
        await make(w)
        for steps in up:
            await run_until_killed(w, steps, 0.3)
        Killer(w, 0)
        async with w.running():
            await settle(w, True)
        assert len(w.runtime.starts("-app-")) == len(PODS), "what ran was left alone"
        for name in PODS:
            await w.delete(name)
        for steps in down:
            await run_until_killed(w, steps, 0.3)
        Killer(w, 0)
        async with w.running():
            await settle(w, False)
        hooks = [t for verb, t in w.runtime.calls if verb == "exec"]
        assert len(hooks) >= len(PODS)


async def test_it_ends_pods_that_were_deleted_while_nobody_looked(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await make(w)
        async with w.running():
            await settle(w, True)
        await w.delete("one")
        assert deleting(await w.get("one"))
        async with w.running():
            await w.gone("one")
            assert is_ready(await w.get("two"))
        assert len(w.runtime.starts("-app-")) == len(PODS)


async def test_a_pod_that_fails_to_end_is_tried_again(tmp_path: Path) -> None:
    from cloudwright._base.errors import CloudwrightError

    async with world(tmp_path) as w, w.running():
        await w.create()
        await w.ready()
        w.runtime.failures["remove_sandbox"] = [CloudwrightError("busy"), CloudwrightError("busy")]
        w.runtime.failures["signal_container"] = [CloudwrightError("busy")]
        await w.delete()
        await w.gone()
        assert w.leaks() == []
