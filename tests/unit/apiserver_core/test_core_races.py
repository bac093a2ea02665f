"""Many writers at once: nothing is left behind in what goes, and limits hold exactly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from tests.unit.apiserver_core import kit

pytestmark = pytest.mark.anyio
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = {
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
WIDGETS = "/apis/shop.example.com/v1/namespaces/default/widgets"
WIDGET = {"apiVersion": "shop.example.com/v1", "kind": "Widget"}
STORED = "/shop.example.com/widgets/"


def widget(name: str) -> dict[str, Any]:
    return {**WIDGET, "metadata": {"name": name}}


async def stored(api: kit.Api, prefix: str, count: int) -> None:
    """Wait until so many objects are there."""
    with anyio.fail_after(60):
        while await api.core.store.count(prefix) < count:
            await anyio.sleep(0)


async def many(api: kit.Api, path: str, body: dict[str, Any], writers: int) -> Counter[int]:
    """Create objects from many writers, each until it is refused; the statuses they got."""
    statuses: Counter[int] = Counter()

    async def write(writer: int) -> None:
        count, status = 0, 201
        while status == 201:
            count += 1
            named = {**body, "metadata": {"name": f"x-{writer}-{count}"}}
            status = (await api.raw("POST", path, named)).status
            statuses[status] += 1

    async with anyio.create_task_group() as tasks:
        for writer in range(writers):
            tasks.start_soon(write, writer)
    return statuses


async def test_a_definition_with_many_instances_goes(api: kit.Api) -> None:
    await api.create(DEFINITIONS, DEFINITION)
    async with anyio.create_task_group() as tasks:
        for number in range(300):
            tasks.start_soon(api.create, WIDGETS, widget(f"w-{number}"))
    await api.delete(f"{DEFINITIONS}/widgets.shop.example.com")
    await api.get(f"{DEFINITIONS}/widgets.shop.example.com", status=404)
    assert await api.core.store.count(STORED) == 0


async def test_no_instance_outlives_its_definition(api: kit.Api) -> None:
    for _ in range(5):
        await api.create(DEFINITIONS, DEFINITION)
        found: list[Counter[int]] = []

        async def write(found: list[Counter[int]] = found) -> None:
            found.append(await many(api, WIDGETS, WIDGET, 16))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await stored(api, STORED, 32)
            await api.delete(f"{DEFINITIONS}/widgets.shop.example.com")
        assert set(found[0]) <= {201, 404, 405}
        await api.get(f"{DEFINITIONS}/widgets.shop.example.com", status=404)
        assert await api.core.store.count(STORED) == 0


async def test_a_deletion_that_failed_half_way_goes_on_when_asked_again(api: kit.Api) -> None:
    name = "widgets.shop.example.com"
    await api.create(DEFINITIONS, DEFINITION)
    await api.create(WIDGETS, widget("one"))
    api.core.cleaning[name] = False  # as if the instances were being deleted, and that failed
    await api.delete(f"{DEFINITIONS}/{name}")
    del api.core.cleaning[name]
    await api.get(f"{WIDGETS}/one")
    await api.delete(f"{DEFINITIONS}/{name}")
    await api.get(f"{DEFINITIONS}/{name}", status=404)
    assert await api.core.store.count(STORED) == 0


async def test_a_definition_that_another_server_deletes_takes_nothing_new(api: kit.Api) -> None:
    """What is served is learned a moment later; what is written is guarded all the same."""
    await api.create(DEFINITIONS, DEFINITION)
    await api.create(WIDGETS, widget("one"))
    api.core.cleaning["widgets.shop.example.com"] = False  # the other one deletes the instances
    await api.delete(f"{DEFINITIONS}/widgets.shop.example.com")
    api.core.registry.closed.clear()  # as if its event had not come yet
    refused = await api.create(WIDGETS, widget("two"), status=405)
    assert refused["details"] == {"group": "shop.example.com", "kind": "widgets"}
    assert "while custom resource definition is terminating" in refused["message"]


async def test_nothing_is_made_in_a_namespace_that_goes(api: kit.Api) -> None:
    path = "/api/v1/namespaces/shop"
    for _ in range(5):
        await api.create("/api/v1/namespaces", NAMESPACE)
        found: list[Counter[int]] = []

        async def write(found: list[Counter[int]] = found) -> None:
            found.append(await many(api, f"{path}/configmaps", {}, 16))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await stored(api, "/core/configmaps/shop/", 32)
            await api.delete(path)
            # From here on a namespace controller may count on it: nothing new comes.
            count = await api.core.store.count("/core/configmaps/shop/")
        assert set(found[0]) == {201, 403}
        assert await api.core.store.count("/core/configmaps/shop/") == count
        await api.delete(f"{path}/configmaps")
        last = await api.get(path)
        last["spec"]["finalizers"] = []
        await api.update(f"{path}/finalize", last)
        assert await api.core.store.count("/core/configmaps/shop/") == 0


async def test_a_quota_is_used_up_exactly_and_nobody_is_turned_away_before(api: kit.Api) -> None:
    hard = {"count/configmaps": "100"}
    quotas = "/api/v1/namespaces/default/resourcequotas"
    await api.create(quotas, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    statuses: Counter[int] = Counter()

    async def write(number: int) -> None:
        made = kit.config_map(f"c-{number}")
        statuses[(await api.raw("POST", kit.CONFIG_MAPS, made)).status] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(write, number)
    assert statuses == {201: 100, 403: 100}
    assert (await api.get(f"{quotas}/few"))["status"]["used"] == hard


async def test_who_gives_up_on_a_quota_holds_nobody_up(api: kit.Api) -> None:
    quotas = "/api/v1/namespaces/default/resourcequotas"
    hard = {"count/configmaps": "1000"}
    await api.create(quotas, {"metadata": {"name": "few"}, "spec": {"hard": hard}})
    made: list[int] = []

    async def write(number: int) -> None:
        await api.create(kit.CONFIG_MAPS, kit.config_map(f"c-{number}"))
        made.append(number)

    for turn in range(10):
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as leaving:
            for number in range(10):
                leaving.start_soon(write, 1000 + 10 * turn + number)
                tasks.start_soon(write, 10 * turn + number)
            for _ in range(turn):
                await anyio.sleep(0)
            leaving.cancel_scope.cancel()
    assert set(range(100)) <= set(made)


async def test_every_increment_of_many_counts_once(api: kit.Api) -> None:
    """Guarded updates and patches: what was acknowledged adds up, and watchers see each step."""
    await api.create(kit.CONFIG_MAPS, kit.config_map("counter", n="0"))
    path = f"{kit.CONFIG_MAPS}/counter"
    writers, times = 8, 10

    async def count() -> None:
        for _ in range(times):
            while True:
                found = await api.get(path)
                found["data"]["n"] = str(int(found["data"]["n"]) + 1)
                status = (await api.raw("PUT", path, found)).status
                assert status in (200, 409)
                if status == 200:
                    break

    async def label(name: str) -> None:
        for value in range(times):
            body = {"metadata": {"labels": {name: str(value)}}}
            headers = {"content-type": kit.MERGE}
            # A patch that was overtaken too often is refused, as upstream.
            while (await api.raw("PATCH", path, body, headers=headers)).status != 200:
                await anyio.sleep(0)

    before = (await api.get(path))["metadata"]["resourceVersion"]
    async with api.watch(kit.CONFIG_MAPS, resourceVersion=before) as lines:
        async with anyio.create_task_group() as tasks:
            for writer in range(writers):
                tasks.start_soon(count)
                tasks.start_soon(label, f"w{writer}")
        events = [await lines.next() for _ in range(2 * writers * times)]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(set(revisions))
    numbers = [int(event["object"]["data"]["n"]) for event in events]
    assert sorted(set(numbers)) == list(range(numbers[0], writers * times + 1))
    assert numbers == sorted(numbers)
    last = await api.get(path)
    assert last["data"]["n"] == str(writers * times)
    assert last["metadata"]["labels"] == {f"w{writer}": str(times - 1) for writer in range(writers)}


async def test_appliers_that_race_for_a_field_have_one_owner(api: kit.Api) -> None:
    path = f"{kit.CONFIG_MAPS}/applied"
    statuses: Counter[int] = Counter()

    async def apply(manager: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "applied"},
            "data": {"who": manager, manager: "mine"},
        }
        headers = {"content-type": "application/apply-patch+yaml"}
        reply = await api.raw("PATCH", path, body, headers=headers, fieldManager=manager)
        statuses[reply.status] += 1

    managers = [f"m{number}" for number in range(12)]
    async with anyio.create_task_group() as tasks:
        for manager in managers:
            tasks.start_soon(apply, manager)
    found = await api.get(path)
    winner = found["data"]["who"]
    assert statuses == {201: 1, 409: len(managers) - 1}
    assert found["data"] == {"who": winner, winner: "mine"}
    owners = [one["manager"] for one in found["metadata"]["managedFields"]]
    assert owners == [winner]
