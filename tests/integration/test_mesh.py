"""The mesh's loop on the real API: what is written there reaches the proxies' snapshot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from cloudwright._base.clock import SystemClock
from cloudwright._base.paths import Paths
from cloudwright.client.client import Client
from cloudwright.mesh import publisher
from cloudwright.mesh.config import MeshConfig
from cloudwright.mesh.controller import MeshControl
from cloudwright.mesh.watch import MeshWatch
from cloudwright.model.resources import ENDPOINT_SLICE, POD, ROUTE, SERVICE
from tests.unit.apiserver_core import kit
from tests.unit.mesh.mesh_objects import endpoint, piece, route

pytestmark = pytest.mark.anyio
Object = dict[str, Any]


@dataclass
class World:
    client: Client
    paths: Paths
    control: MeshControl

    def snapshot(self) -> Object:
        return dict(json.loads(self.paths.snapshot.read_text()))

    async def until(self, holds: Callable[[Object], bool]) -> Object:
        """The first snapshot for which ``holds``."""
        with anyio.fail_after(10):
            while not (self.paths.snapshot.exists() and holds(self.snapshot())):
                await anyio.sleep(0.01)
        return self.snapshot()

    async def pod(self, name: str, ip: str) -> Object:
        made = await self.client.create(POD, kit.pod(name), "default")
        made = await self.client.patch_status(
            POD, name, {"podIP": ip, "podIPs": [{"ip": ip}], "phase": "Running"}, "default"
        )
        return made

    async def service(self, name: str) -> Object:
        spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
        body = {"metadata": {"name": name}, "spec": spec}
        return await self.client.create(SERVICE, body, "default")

    async def slice(self, *pods: Object) -> Object:
        body = {**piece("payment", *map(endpoint, pods)), "addressType": "IPv4"}
        return await self.client.create_or_update(ENDPOINT_SLICE, body)


@asynccontextmanager
async def running(client: Client, paths: Paths) -> AsyncIterator[World]:
    control = MeshControl(MeshConfig(paths=paths, binary=Path("/bin/true")), clock=SystemClock())
    await control.start()
    async with anyio.create_task_group() as group:
        group.start_soon(MeshWatch(control, client).run)
        yield World(client, paths, control)
        group.cancel_scope.cancel()


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[tuple[Client, Paths]]:
    with tempfile.TemporaryDirectory(prefix="cwi") as folder:
        root = Path(folder)
        root.chmod(0o755)
        async with kit.serving(tmp_path, clock=SystemClock()) as api:
            yield Client(api.transport), Paths(root / "s", root / "r", root / "u")


def ips(snapshot: Object) -> list[str]:
    services = [s for s in snapshot["services"] if s["name"] == "payment"]
    return [e["ip"] for s in services for e in s["endpoints"]]


async def test_objects_become_a_snapshot(base: tuple[Client, Paths]) -> None:
    async with running(*base) as world:
        made = await world.service("payment")
        one, two = await world.pod("one", "10.244.0.2"), await world.pod("two", "10.244.0.3")
        await world.slice(one, two)
        await world.client.create(ROUTE, route("payment", pathPrefix="/payment"))
        found = await world.until(lambda s: len(ips(s)) == 2 and bool(s["routes"]))
        service = next(s for s in found["services"] if s["name"] == "payment")
        assert service["cluster_ip"] == made["spec"]["clusterIP"]
        assert found["routes"][0]["path_prefix"] == "/payment"
        await world.client.delete(POD, "one", "default")  # the slice does not know yet
        await world.until(lambda s: ips(s) == ["10.244.0.3"])
        await world.client.delete(SERVICE, "payment", "default")
        after = await world.until(lambda s: not ips(s))
        assert after["version"] > found["version"]


async def test_routes_are_told_whether_they_are_served(base: tuple[Client, Paths]) -> None:
    async def accepted(world: World, name: str, wanted: str) -> Object:
        with anyio.fail_after(10):
            while True:
                found = await world.client.get(ROUTE, name, "default")
                status = found.get("status") or {}
                conditions = {c["type"]: c for c in status.get("conditions") or []}
                if conditions.get("Accepted", {}).get("status") == wanted:
                    return conditions
                await anyio.sleep(0.01)

    async with running(*base) as world:
        await world.client.create(ROUTE, route("first", pathPrefix="/pay"))
        conditions = await accepted(world, "first", "True")
        assert conditions["ResolvedRefs"]["message"] == "Service default/payment does not exist"
        await world.client.create(ROUTE, route("second", pathPrefix="/pay"))
        conditions = await accepted(world, "second", "False")
        assert "older Route default/first" in conditions["Accepted"]["message"]
        await world.service("payment")
        await world.client.delete(ROUTE, "first", "default")
        conditions = await accepted(world, "second", "True")
        with anyio.fail_after(10):
            while conditions["ResolvedRefs"]["status"] != "True":
                conditions = await accepted(world, "second", "True")


async def test_a_restart_publishes_nothing_until_it_has_read_everything(
    base: tuple[Client, Paths],
) -> None:
    async with running(*base) as world:
        await world.service("payment")
        await world.slice(await world.pod("one", "10.244.0.2"))
        before = await world.until(lambda s: ips(s) == ["10.244.0.2"])
    async with running(*base) as world:
        await world.service("marker")
        after = await world.until(lambda s: any(x["name"] == "marker" for x in s["services"]))
        assert ips(after) == ["10.244.0.2"]
        assert after["version"] == before["version"] + 1


async def test_many_changes_at_once_end_in_the_truth(base: tuple[Client, Paths]) -> None:
    async with running(*base) as world:
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(world.service, f"s{number}")
        wanted = {f"s{number}" for number in range(40)}
        found = await world.until(lambda s: wanted <= {x["name"] for x in s["services"]})
        assert found["version"] == world.control.version
        addresses = [s["cluster_ip"] for s in found["services"]]
        assert len(set(addresses)) == len(addresses)


async def test_a_disk_that_was_full_is_written_later(
    base: tuple[Client, Paths], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = publisher.write_atomic, []

    def full(*args: Any, **words: Any) -> None:
        if len(failures) < 1:
            failures.append(1)
            raise OSError(28, "No space left on device")
        real(*args, **words)

    async with running(*base) as world:
        await world.until(lambda s: s["version"] >= 1)
        monkeypatch.setattr(publisher, "write_atomic", full)
        await world.service("payment")
        await world.until(lambda s: any(x["name"] == "payment" for x in s["services"]))
        assert failures == [1]
