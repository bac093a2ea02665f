"""Two API servers on one etcd: each sees what the other writes, one is killed, etcd is cut off."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from cloudwright.client.client import Client
from cloudwright.client.errors import AlreadyExists, ApiError, Conflict, NotFound
from cloudwright.model.resources import (
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    SERVICE,
    Resource,
)
from tests import etcd
from tests.integration.served_process import Server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
WIDGET = Resource("shop.example.com", "v1", "Widget", "widgets", "widget")
NAMED = {"apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}


@pytest.fixture
def one_etcd(tmp_path: Path) -> Iterator[etcd.Etcd]:
    with etcd.running(tmp_path) as running:
        yield running


@pytest.fixture
async def pair(tmp_path: Path, one_etcd: etcd.Etcd) -> AsyncIterator[tuple[Server, Server]]:
    store = f"etcd://{one_etcd.endpoint}/cluster-{secrets.token_hex(3)}"
    servers = Server(tmp_path / "a", store), Server(tmp_path / "b", store)
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            server.end(signal.SIGKILL)


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": data}


async def count_up(client: Client, name: str, times: int) -> None:
    """Add one, again and again, guarded by the version that was read."""
    for _ in range(times):
        while True:
            found = await client.get(CONFIG_MAP, name, "default")
            found["data"]["n"] = str(int(found["data"]["n"]) + 1)
            try:
                await client.update(CONFIG_MAP, found)
                break
            except Conflict:
                continue


CRD = {
    "metadata": {"name": "widgets.shop.example.com"},
    "spec": {
        "group": "shop.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


async def test_two_servers_one_truth(pair: tuple[Server, Server]) -> None:
    async with pair[0].client() as one, pair[1].client() as two:
        events: list[str] = []
        before = await two.list(CONFIG_MAP, "default")

        async def follow() -> None:
            async for event in two.watch(
                CONFIG_MAP, "default", resource_version=before.resource_version
            ):
                if event.object["metadata"]["name"] == "shared":
                    events.append(event.type)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            made = await one.create(CONFIG_MAP, config_map("shared", n="0"), "default")
            assert await two.get(CONFIG_MAP, "shared", "default") == made
            async with anyio.create_task_group() as both:
                both.start_soon(count_up, one, "shared", 15)
                both.start_soon(count_up, two, "shared", 15)
            assert (await one.get(CONFIG_MAP, "shared", "default"))["data"] == {"n": "30"}
            await one.delete(CONFIG_MAP, "shared", "default")
            with anyio.fail_after(30):
                while len(events) < 32:
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
        assert events == ["ADDED", *["MODIFIED"] * 30, "DELETED"]

        # What one defines and takes, the other serves and leaves alone.
        await one.create(CUSTOM_RESOURCE_DEFINITION, dict(CRD))
        with anyio.fail_after(30):
            while True:
                try:
                    await two.create(WIDGET, {**NAMED, "size": 3}, "default")
                    break
                except NotFound:
                    await anyio.sleep(0.05)
        assert (await one.get(WIDGET, "w", "default"))["size"] == 3
        taken = set()
        for number in range(10):
            for name, client in (("one", one), ("two", two)):
                service = {
                    "metadata": {"name": f"{name}-{number}"},
                    "spec": {"ports": [{"port": 80}], "selector": {"app": name}},
                }
                made = await client.create(SERVICE, service, "default")
                taken.add(made["spec"]["clusterIP"])
        assert len(taken) == 20


async def test_one_is_killed_and_the_other_goes_on(pair: tuple[Server, Server]) -> None:
    async with pair[1].client() as two:
        written = []
        async with pair[0].client() as one:
            for number in range(20):
                made = await one.create(CONFIG_MAP, config_map(f"c{number}"), "default")
                written.append(made)
        pair[0].end(signal.SIGKILL)
        for made in written:
            assert await two.get(CONFIG_MAP, made["metadata"]["name"], "default") == made
        await two.create(CONFIG_MAP, config_map("after"), "default")
        await pair[0].start()
        async with pair[0].client() as one:
            found = await one.list(CONFIG_MAP, "default")
            names = {item["metadata"]["name"] for item in found.items}
            assert {"after", *(made["metadata"]["name"] for made in written)} <= names


async def test_etcd_goes_away_and_comes_back(
    pair: tuple[Server, Server], one_etcd: etcd.Etcd
) -> None:
    async with pair[0].client() as one, pair[1].client() as two:
        before = await two.list(CONFIG_MAP, "default")
        events: list[str] = []

        async def follow() -> None:
            async for event in two.watch(
                CONFIG_MAP, "default", resource_version=before.resource_version
            ):
                events.append(event.object["metadata"]["name"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await one.create(CONFIG_MAP, config_map("first"), "default")
            with anyio.fail_after(60):
                while "first" not in events:  # else the watch may be opened too late
                    await anyio.sleep(0.02)
            one_etcd.kill()
            with pytest.raises(ApiError) as refused:
                await one.create(CONFIG_MAP, config_map("lost"), "default")
            assert refused.value.http_status == 503, refused.value
            assert refused.value.status["reason"] == "ServiceUnavailable"
            one_etcd.start()
            with anyio.fail_after(60):
                while True:
                    try:
                        await one.create(CONFIG_MAP, config_map("second"), "default")
                        break
                    except AlreadyExists:
                        break  # the answer to an earlier attempt was lost, not its write
                    except ApiError as error:
                        if error.http_status != 503:
                            raise
                        await anyio.sleep(0.1)
                await two.create(CONFIG_MAP, config_map("third"), "default")
                while "third" not in events:
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
        names = [name for name in events if name in ("first", "second", "third")]
        assert names == ["first", "second", "third"]
