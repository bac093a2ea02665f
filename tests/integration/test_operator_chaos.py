"""The operator killed at each named step of a roll-out in steps, before the write and after it, on
our API server and on Kubernetes' own: it converges to the same end.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright.client.client import Client
from cloudwright.client.transport import Reply, Request, Transport
from cloudwright.model.objects import Object, annotations_of
from cloudwright.model.resources import DEPLOYMENT, MICRO_SERVICE, POD, SERVICE
from cloudwright.operator.engines.traffic import Traffic
from cloudwright.operator.run import ALL
from cloudwright.operator.run import run as run_operator
from cloudwright.scheduler.driver import run as run_scheduler
from tests.integration.kubernetes_world import BeatingNode, admin, kubernetes, operator_transport
from tests.integration.operator_world import FAST, Hooks, Meter, Node, World, api, eventually
from tests.peers.cluster import Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
NAME = "pay"
GOOD = Traffic(requests=1000, errors=0, latency=0.01, seconds=10)
Test = Callable[[str, str, Object], bool]
"""Method, path, body of a write."""


def writes(method: str, path: str, body: Callable[[Object], bool] = lambda _: True) -> Test:
    return lambda m, p, b: m == method and re.fullmatch(path, p) is not None and body(b)


def rollout(obj: Object) -> dict[str, Any]:
    return (obj.get("status") or {}).get("rollout") or {}


def weight(number: int) -> Callable[[Object], bool]:
    return lambda b: rollout(b).get("weight") == number


_STATUS = r".*/microservices/pay/status"
FIRST: dict[str, Test] = {
    "take the finalizer": writes("PUT", r".*/microservices/pay"),
    "begin": writes("PUT", _STATUS, lambda b: rollout(b).get("state") == "Progressing"),
    "keep the revision": writes("POST", r".*/controllerrevisions"),
    "make the Deployment": writes("POST", r".*/deployments"),
    "make the Service": writes("POST", r".*/services"),
    "record that it is complete": writes(
        "PUT", _STATUS, lambda b: rollout(b).get("state") == "Complete"
    ),
}
CANARY: dict[str, Test] = {
    "begin in steps": writes("PUT", _STATUS, lambda b: rollout(b).get("stage") == "Preparing"),
    "make the canary's ConfigMap": writes("POST", r".*/configmaps"),
    "make the canary's Deployment": writes("POST", r".*/deployments"),
    "make the canary's Service": writes("POST", r".*/services"),
    "decide the share": writes("PUT", _STATUS, weight(50)),
    "give the share": writes(
        "PUT",
        r".*/services/pay",
        lambda b: "50" in annotations_of(b).get("cloudwright.dev/backends", ""),
    ),
}
PROMOTION: dict[str, Test] = {
    "promote": writes("PUT", _STATUS, lambda b: rollout(b).get("stage") == "Promoting"),
    "take the command away": writes("PATCH", r".*/microservices/pay"),
    "change the Deployment": writes("PUT", r".*/deployments/pay"),
    "record that it is complete": writes(
        "PUT", _STATUS, lambda b: rollout(b).get("state") == "Complete"
    ),
    "take the share": writes(
        "PUT",
        r".*/services/pay",
        lambda b: annotations_of(b).get("cloudwright.dev/backends") == "",
    ),
    "remove the canary": writes("DELETE", r".*/deployments/pay-canary"),
    "announce the hook": writes(
        "PUT",
        _STATUS,
        lambda b: (b["status"].get("postRolloutHook") or {}).get("state") == "Calling",
    ),
    "record the hook": writes(
        "PUT",
        _STATUS,
        lambda b: (
            (b["status"].get("postRolloutHook") or {}).get("state") == "Succeeded"
            and b["status"]["postRolloutHook"]["version"] == "2.0.0"
        ),
    ),
}
BACK: dict[str, Test] = {
    "begin in steps": writes("PUT", _STATUS, lambda b: rollout(b).get("stage") == "Preparing"),
    "decide to go back": writes("PUT", _STATUS, lambda b: rollout(b).get("state") == "RolledBack"),
    "remove the canary": writes("DELETE", r".*/deployments/pay-canary"),
}
END: dict[str, Test] = {
    "remove the Deployment": writes("DELETE", r".*/deployments/pay"),
    "remove the Service": writes("DELETE", r".*/services/pay"),
    "let it go": writes("PUT", r".*/microservices/pay"),
}
# Where shares are numbers of pods nobody writes them down.
_ONLY_WITH_A_MESH = {"give the share", "take the share"}


class Deadly:
    """A transport that ends its user at the first write that a test recognizes."""

    def __init__(self, inner: Transport, test: Test, *, after: bool) -> None:
        self.inner = inner
        self.test = test
        self.after = after
        self.hit = anyio.Event()
        self.scope = anyio.CancelScope()

    async def request(self, request: Request, *, timeout: float | None = None) -> Reply:
        if not self.hit.is_set() and request.method != "GET":
            body = json.loads(request.body) if request.body else {}
            if self.test(request.method, request.path, body):
                self.hit.set()
                if self.after:
                    await self.inner.request(request, timeout=timeout)
                self.scope.cancel()
                await anyio.sleep_forever()
        return await self.inner.request(request, timeout=timeout)

    def stream(
        self, request: Request
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        return self.inner.stream(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Backend:
    """A control plane without its operator."""

    world: World
    transport: Transport
    config: Any
    controllers: tuple[str, ...]
    skipped: frozenset[str] = frozenset()

    async def operate(self, client: Client, *, task_status: Any) -> None:
        await run_operator(
            client,
            hooks=self.world.hooks,
            meter=self.world.meter,
            config=self.config,
            controllers=self.controllers,
            task_status=task_status,
        )

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._task, Client(self.transport))
            yield
            tasks.cancel_scope.cancel()

    async def _task(self, client: Client, *, task_status: Any) -> None:
        await self.operate(client, task_status=task_status)

    async def killed_at(self, name: str, test: Test, *, after: bool) -> None:
        """A life of the operator that ends at a step."""
        deadly = Deadly(self.transport, test, after=after)
        with anyio.move_on_after(60), deadly.scope:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._task, Client(deadly))
        assert deadly.hit.is_set(), f"it never came to: {name}"

    async def through(self, steps: dict[str, Test], *, after: bool | None) -> None:
        """``after`` the writes or before them; ``None``: by turns."""
        wanted = [step for step in steps.items() if step[0] not in self.skipped]
        for number, (name, test) in enumerate(wanted):
            await self.killed_at(name, test, after=bool(number % 2) if after is None else after)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as made:
        yield made


@asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[Backend]:
    async with api(folder) as client, anyio.create_task_group() as tasks:
        node = Node(client)
        tasks.start_soon(node.run)
        await tasks.start(lambda *, task_status: run_scheduler(client, task_status=task_status))
        world = World(client, Hooks(), node, Meter())
        yield Backend(world, client.transport, FAST, ALL)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def theirs(cluster: Cluster) -> AsyncIterator[Backend]:
    async with (
        admin(cluster) as client,
        operator_transport(cluster, client) as transport,
        anyio.create_task_group() as tasks,
    ):
        node = BeatingNode(client)
        tasks.start_soon(node.run)
        world = World(client, Hooks(), node, Meter())
        config = replace(FAST, routing="auto", nodes_confirm=False)
        skipped = frozenset(_ONLY_WITH_A_MESH)
        yield Backend(world, transport, config, ("microservice",), skipped)
        tasks.cancel_scope.cancel()


def service() -> Object:
    return {
        "apiVersion": "platform.example.com/v1",
        "kind": "MicroService",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "version": "1.0.0",
            "replicas": 2,
            "config": {"a": "1"},
            "lifecyclePolicy": {"postRolloutHook": "webhook://sync"},
            "rollout": {
                "steps": [{"weight": 50, "approval": True}],
                "analysis": {"interval": "100ms"},
            },
        },
    }


async def converges(backend: Backend, version: str, phase: str = "Ready") -> None:
    """A last life of the operator brings everything to its end, and leaves nothing over."""
    w = backend.world
    async with backend.operator():
        done = await w.phase(NAME, phase)
        assert done["status"]["version"] == version

        async def tidy() -> bool:
            names = {d["metadata"]["name"] for d in await w.items(DEPLOYMENT, namespace="default")}
            pods = await w.items(POD, namespace="default")
            images = sorted(p["spec"]["containers"][0]["image"] for p in pods)
            found = annotations_of(await w.client.get(SERVICE, NAME, "default"))
            shares = found.get("cloudwright.dev/backends", "")
            return names == {NAME} and images == [f"pay:{version}"] * 2 and not shares

        await eventually(tidy)


async def chaos(backend: Backend, *, after: bool | None) -> None:
    w = backend.world
    await w.client.create(MICRO_SERVICE, service())
    await backend.through(FIRST, after=after)
    await converges(backend, "1.0.0")
    w.meter.traffics["pay-canary"] = GOOD
    change = {"spec": {"version": "2.0.0", "config": {"a": "2"}}}
    await w.client.patch(MICRO_SERVICE, NAME, change, "default")
    await backend.through(CANARY, after=after)
    async with backend.operator():
        await w.until(
            MICRO_SERVICE, NAME, lambda o: "waiting for a person" in str(rollout(o).get("message"))
        )
    command = {"metadata": {"annotations": {"platform.example.com/rollout-command": "resume"}}}
    await w.client.patch(MICRO_SERVICE, NAME, command, "default")
    await backend.through(PROMOTION, after=after)
    await converges(backend, "2.0.0")
    # However often a call was repeated, it was one call: every repetition has its key.
    keys = dict(zip(w.hooks.keys, (p["version"] for _, p in w.hooks.calls), strict=True))
    assert sorted(keys.values()) == ["1.0.0", "2.0.0"]
    w.meter.traffics["pay-canary"] = Traffic(1000, 500, 0.01, 10)
    await w.client.patch(MICRO_SERVICE, NAME, {"spec": {"version": "3.0.0"}}, "default")
    await backend.through(BACK, after=after)
    await converges(backend, "2.0.0", "RolledBack")
    await w.client.delete(MICRO_SERVICE, NAME, "default")
    await backend.through(END, after=after)
    async with backend.operator():
        await w.until_gone(MICRO_SERVICE, NAME)

        async def nothing() -> bool:
            return not await w.items(POD, namespace="default")

        await eventually(nothing)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_each_step_on_our_api_server(tmp_path: Path, after: bool) -> None:
    async with ours(tmp_path) as backend:
        await chaos(backend, after=after)


@pytest.mark.foreign
async def test_killed_at_each_step_on_kubernetes(cluster: Cluster) -> None:
    async with theirs(cluster) as backend:
        await chaos(backend, after=None)
