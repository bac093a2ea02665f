"""Killed at any write, or with answers that get lost: the controllers converge to the same end."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.errors import UnreachableError
from cloudwright.client.client import Client
from cloudwright.client.transport import Reply, Request, Transport
from cloudwright.model.conditions import find
from cloudwright.model.objects import Object, deleting
from cloudwright.model.resources import DEPLOYMENT, MICRO_SERVICE, POD, REPLICA_SET, SERVICE
from cloudwright.operator.run import run as run_operator
from cloudwright.scheduler.driver import run as run_scheduler
from tests.integration.operator_world import FAST, Hooks, Node, World, api, eventually

pytestmark = pytest.mark.anyio
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
HOOK = "webhook://sync"


class Chaos:
    """A transport that loses requests or answers, or ends the process before the n-th write."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.random = random.Random(0)
        self.loss = 0.0
        self.kill_at = -1
        self.kill: anyio.CancelScope | None = None
        self.writes = 0

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        write = request.method in WRITES
        if write:
            self.writes += 1
            if self.writes == self.kill_at and self.kill is not None:
                if self.random.random() < 0.5:
                    # The write happens, its answer is never seen.
                    await self.inner.request(request, timeout=timeout)
                self.kill.cancel()
                await anyio.sleep_forever()
        luck = self.random.random()
        if luck < self.loss / 2:
            raise UnreachableError("the request is lost")
        reply = await self.inner.request(request, timeout=timeout)
        if luck < self.loss:
            raise UnreachableError("the answer is lost")
        return reply

    def stream(
        self, request: Request
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        return self.inner.stream(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Watcher:
    """Sees every state of the pods and remembers the extremes."""

    def __init__(self, client: Client, image: str) -> None:
        self.client = client
        self.image = image
        self.most = 0
        self.fewest_ready: int | None = None

    async def run(self) -> None:
        while True:
            pods = (await self.client.list(POD)).items
            alive = [p for p in pods if not deleting(p)]
            ready = [p for p in alive if _ready(p)]
            self.most = max(self.most, len(alive))
            if self.fewest_ready is None:
                if len(ready) >= 3:
                    self.fewest_ready = len(ready)
            else:
                self.fewest_ready = min(self.fewest_ready, len(ready))
            await anyio.sleep(0.002)


def _ready(pod: Object) -> bool:
    entry = find((pod.get("status") or {}).get("conditions"), "Ready") or {}
    return entry.get("status") == "True"


def service(version: str, deadline: int = 60, **spec: Any) -> Object:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": "pay", "namespace": "default"},
        "spec": {
            "version": version,
            "replicas": 3,
            "lifecyclePolicy": {"postRolloutHook": HOOK},
            "rollout": {"progressDeadlineSeconds": deadline},
            **spec,
        },
    }


@asynccontextmanager
async def control_plane(client: Client, hooks: Hooks) -> AsyncIterator[anyio.CancelScope]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: run_scheduler(client, task_status=task_status))
        await tasks.start(
            lambda *, task_status: run_operator(
                client, hooks=hooks, config=FAST, task_status=task_status
            )
        )
        yield tasks.cancel_scope
        tasks.cancel_scope.cancel()


async def run_until_killed(chaos: Chaos, hooks: Hooks, writes: int) -> None:
    """A life of the control plane that ends at a write (or after a while without that many)."""
    with anyio.move_on_after(0.5) as scope:
        chaos.kill, chaos.kill_at = scope, chaos.writes + writes
        async with control_plane(Client(chaos), hooks):
            await anyio.sleep_forever()
    chaos.kill = None


async def settled(client: Client, version: str, phase: str = "Ready") -> bool:
    found = await client.get(MICRO_SERVICE, "pay", "default")
    status = found.get("status") or {}
    return (
        status.get("phase") == phase
        and status.get("version") == version
        and status.get("observedGeneration") == found["metadata"]["generation"]
    )


@pytest.mark.parametrize("seed", range(3))
async def test_killed_at_random_writes_of_a_roll_out_it_converges(
    tmp_path: Path, seed: int
) -> None:
    luck = random.Random(seed)
    async with api(tmp_path) as client, anyio.create_task_group() as tasks:
        chaos, hooks, node = Chaos(client.transport), Hooks(), Node(client)
        chaos.random = luck
        tasks.start_soon(node.run)
        watcher = Watcher(client, "pay")
        tasks.start_soon(watcher.run)
        await client.create(MICRO_SERVICE, service("1.0.0"))
        for _ in range(8):
            await run_until_killed(chaos, hooks, luck.randint(1, 12))
        async with control_plane(client, hooks):
            await eventually(lambda: settled(client, "1.0.0"))
        await client.patch(MICRO_SERVICE, "pay", {"spec": {"version": "2.0.0"}}, "default")
        for _ in range(10):
            await run_until_killed(chaos, hooks, luck.randint(1, 12))
        async with control_plane(client, hooks):
            await eventually(lambda: settled(client, "2.0.0"))
            await eventually(lambda: _count(client, 3))
        assert len((await client.list(REPLICA_SET)).items) == 2
        assert watcher.most <= 4
        assert watcher.fewest_ready == 3
        # Each kill during a call may repeat that call, but never a finished one.
        versions = [payload["version"] for _, payload in hooks.calls]
        assert versions == sorted(versions)
        assert set(versions) == {"1.0.0", "2.0.0"}
        await client.delete(MICRO_SERVICE, "pay", "default")
        for _ in range(4):
            await run_until_killed(chaos, hooks, luck.randint(1, 4))
        w = World(client, hooks, node)
        async with control_plane(client, hooks):
            await w.until_gone(MICRO_SERVICE, "pay")
            await eventually(lambda: _count(client, 0))
        for resource in (DEPLOYMENT, SERVICE, REPLICA_SET):
            assert (await client.list(resource)).items == []
        tasks.cancel_scope.cancel()


async def _count(client: Client, wanted: int) -> bool:
    return len((await client.list(POD)).items) == wanted


@pytest.mark.parametrize("seed", range(2))
async def test_with_every_tenth_answer_lost_it_converges(tmp_path: Path, seed: int) -> None:
    async with api(tmp_path) as client, anyio.create_task_group() as tasks:
        chaos, hooks, node = Chaos(client.transport), Hooks(), Node(client)
        chaos.random, chaos.loss = random.Random(seed), 0.1
        tasks.start_soon(node.run)
        watcher = Watcher(client, "pay")
        tasks.start_soon(watcher.run)
        await client.create(MICRO_SERVICE, service("1.0.0"))
        async with control_plane(Client(chaos), hooks):
            await eventually(lambda: settled(client, "1.0.0"))
            await client.patch(MICRO_SERVICE, "pay", {"spec": {"version": "2.0.0"}}, "default")
            await eventually(lambda: settled(client, "2.0.0"))
            await eventually(lambda: _count(client, 3))
        assert watcher.most <= 4
        assert watcher.fewest_ready == 3
        tasks.cancel_scope.cancel()


async def test_killed_during_a_rollback_the_bad_version_still_ends(tmp_path: Path) -> None:
    luck = random.Random(7)
    async with api(tmp_path) as client, anyio.create_task_group() as tasks:
        chaos, hooks, node = Chaos(client.transport), Hooks(), Node(client)
        chaos.random = luck
        tasks.start_soon(node.run)
        watcher = Watcher(client, "pay")
        tasks.start_soon(watcher.run)
        await client.create(MICRO_SERVICE, service("1.0.0", 1))
        async with control_plane(client, hooks):
            await eventually(lambda: settled(client, "1.0.0"))
        change = {"spec": {"version": "2.0.0", "image": "pay:bad"}}
        await client.patch(MICRO_SERVICE, "pay", change, "default")
        for _ in range(12):
            await run_until_killed(chaos, hooks, luck.randint(1, 6))
        async with control_plane(client, hooks):
            await eventually(lambda: settled(client, "1.0.0", "RolledBack"))
            await eventually(lambda: _count(client, 3))
        assert watcher.most <= 4
        assert watcher.fewest_ready == 3
        tasks.cancel_scope.cancel()


async def test_a_restart_when_all_is_done_writes_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as client, anyio.create_task_group() as tasks:
        chaos, hooks, node = Chaos(client.transport), Hooks(), Node(client)
        tasks.start_soon(node.run)
        await client.create(MICRO_SERVICE, service("1.0.0", config={"a": "b"}))
        async with control_plane(client, hooks):
            await eventually(lambda: settled(client, "1.0.0"))
            await eventually(lambda: _quiet(client))
        async with control_plane(Client(chaos), hooks):
            await eventually(lambda: _quiet(client))
        assert chaos.writes == 0
        assert len(hooks.calls) == 1
        tasks.cancel_scope.cancel()


async def _quiet(client: Client) -> bool:
    """Whether the store's newest revision stays for a while."""
    before = (await client.list(MICRO_SERVICE)).resource_version
    await anyio.sleep(0.3)
    return before == (await client.list(MICRO_SERVICE)).resource_version
