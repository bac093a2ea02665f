"""An API, the fakes and an agent on them: what the tests of the agent stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from cloudwright._base.clock import SystemClock
from cloudwright._base.paths import Paths
from cloudwright.apiserver import bootstrap
from cloudwright.apiserver.config import StoreConfig
from cloudwright.apiserver.identity import ADMINISTRATORS, AdministratorsOnly, User
from cloudwright.apiserver.local import LocalTransport
from cloudwright.apiserver.store.sqlite import open_store
from cloudwright.client.client import Client
from cloudwright.client.errors import NotFound
from cloudwright.model import conditions
from cloudwright.model.objects import Object
from cloudwright.model.resources import CONFIG_MAP, EVENT, NAMESPACE, POD
from cloudwright.node.agent import NodeAgent
from cloudwright.node.config import NodeConfig
from tests.unit.node.fakes import FakeHooks, FakeMesh, FakeNetwork, FakeRuntime

PATIENCE = 10.0
IMAGE = "shop:1"


class World:
    def __init__(self, client: Client, paths: Paths) -> None:
        self.client = client
        self.paths = paths
        self.runtime = FakeRuntime()
        self.runtime.add_image(IMAGE)
        self.network = FakeNetwork()
        self.mesh = FakeMesh(self.runtime)
        self.hooks = FakeHooks()
        self.config = NodeConfig(
            paths, "here", backoff_base=0.02, backoff_max=0.1, retry_base=0.01, retry_max=0.05,
            sidecar_wait=2.0, lease_period=5.0,
        )  # fmt: skip

    def agent(self) -> NodeAgent:
        return NodeAgent(
            self.client, self.runtime, self.network, self.mesh, self.hooks, self.config
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[NodeAgent]:
        agent = self.agent()
        async with anyio.create_task_group() as tasks:
            await tasks.start(agent.run)
            yield agent
            tasks.cancel_scope.cancel()

    async def create(self, name: str = "p", **spec: Any) -> Object:
        return await self.client.create(POD, pod(name, **spec), "default")

    async def get(self, name: str = "p") -> Object:
        return await self.client.get(POD, name, "default")

    async def delete(self, name: str = "p", grace: int | None = None) -> None:
        await self.client.delete(POD, name, "default", grace_seconds=grace)

    async def until(self, test: Callable[[Object], bool], name: str = "p") -> Object:
        last: Object = {}
        with anyio.move_on_after(PATIENCE):
            while True:
                last = await self.get(name)
                if test(last):
                    return last
                await anyio.sleep(0.01)
        raise AssertionError(f"it never happened: {last.get('status')}")

    async def ready(self, name: str = "p") -> Object:
        return await self.until(is_ready, name)

    async def gone(self, name: str = "p") -> None:
        async def test() -> bool:
            try:
                await self.get(name)
            except NotFound:
                return True
            return False

        await eventually(test)

    async def reasons(self) -> list[str]:
        return [e["reason"] for e in (await self.client.list(EVENT)).items]

    async def messages(self, reason: str) -> list[str]:
        events = (await self.client.list(EVENT)).items
        return [e["message"] for e in events if e["reason"] == reason]

    async def config_map(self, name: str, **data: str) -> Object:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
            "data": data,
        }
        return await self.client.create_or_update(CONFIG_MAP, body)

    def leaks(self) -> list[str]:
        left = [*self.runtime.leaks(), *self.network.places, *self.mesh.enrolled]
        for root in (self.paths.pods, self.paths.pod_logs):
            left += [str(entry) for entry in root.iterdir()] if root.exists() else []
        return left


def pod(name: str, **spec: Any) -> Object:
    annotations = spec.pop("annotations", {})
    container = {"name": "app", "image": IMAGE, **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"nodeName": "here", "containers": [container], **spec},
    }


def is_ready(obj: Object) -> bool:
    return conditions.is_true((obj.get("status") or {}).get("conditions"), "Ready")


def container_status(obj: Object, name: str = "app") -> dict[str, Any]:
    entries = (obj.get("status") or {}).get("containerStatuses") or []
    return next((e for e in entries if e["name"] == name), {})


async def eventually(test: Callable[[], Awaitable[bool]]) -> None:
    with anyio.move_on_after(PATIENCE):
        while not await test():
            await anyio.sleep(0.01)
        return
    raise AssertionError("it never happened")


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    clock = SystemClock()
    async with open_store(StoreConfig(folder / "store.db"), clock) as store:
        core = await bootstrap.start(store, AdministratorsOnly(), clock=clock)
        client = Client(LocalTransport(core, User("admin", (ADMINISTRATORS,))))
        for name in ("default", "kube-node-lease"):
            await client.create_or_update(
                NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
        paths = Paths(folder / "state", folder / "run", folder / "user")
        yield World(client, paths)
