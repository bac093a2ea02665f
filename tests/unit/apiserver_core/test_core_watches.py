from __future__ import annotations

from pathlib import Path

import anyio
import orjson
import pytest

from cloudwright._base.clock import ManualClock
from cloudwright.apiserver.config import CoreConfig
from cloudwright.client.transport import Request
from tests.unit.apiserver_core.kit import (
    CONFIG_MAPS,
    PODS,
    Api,
    config_map,
    pod,
    serving,
)

pytestmark = pytest.mark.anyio


def brief(event: dict) -> tuple[str, str]:  # type: ignore[type-arg]
    return event["type"], event["object"]["metadata"].get("name", "")


async def test_changes_arrive_in_order(api: Api) -> None:
    async with api.watch(CONFIG_MAPS, resourceVersion=api.core.store.revision) as seen:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"x": "1"}})
        await api.create("/api/v1/namespaces/kube-system/configmaps", config_map("elsewhere"))
        last = await api.get(f"{CONFIG_MAPS}/a")
        await api.delete(f"{CONFIG_MAPS}/a")
        assert brief(await seen.next()) == ("ADDED", "a")
        modified = await seen.next()
        assert modified == {"type": "MODIFIED", "object": last}
        deleted = await seen.next()
        assert brief(deleted) == ("DELETED", "a")
        assert deleted["object"]["data"] == {"x": "1"}
        assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(
            last["metadata"]["resourceVersion"]
        )


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_without_a_version_the_state_comes_first(api: Api, query: dict[str, str]) -> None:
    for name in "ab":
        await api.create(CONFIG_MAPS, config_map(name))
    async with api.watch(CONFIG_MAPS, **query) as seen:
        assert [brief(await seen.next()) for _ in "ab"] == [("ADDED", "a"), ("ADDED", "b")]
        await api.create(CONFIG_MAPS, config_map("c"))
        assert brief(await seen.next()) == ("ADDED", "c")


async def test_a_list_and_a_watch_from_it_miss_nothing(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    listed = await api.get(CONFIG_MAPS)
    await api.create(CONFIG_MAPS, config_map("b"))
    version = listed["metadata"]["resourceVersion"]
    async with api.watch(CONFIG_MAPS, resourceVersion=version) as seen:
        assert brief(await seen.next()) == ("ADDED", "b")


async def test_objects_enter_and_leave_a_selector(api: Api) -> None:
    start = api.core.store.revision
    async with api.watch(CONFIG_MAPS, resourceVersion=start, labelSelector="on=yes") as seen:
        await api.create(CONFIG_MAPS, config_map("a", x="1"))
        on = {"metadata": {"labels": {"on": "yes"}}}
        await api.patch(f"{CONFIG_MAPS}/a", on)
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"x": "2"}})
        off = await api.patch(
            f"{CONFIG_MAPS}/a", {"metadata": {"labels": None}, "data": {"x": "3"}}
        )
        await api.delete(f"{CONFIG_MAPS}/a")
        await api.create(
            CONFIG_MAPS, config_map("b") | {"metadata": {"name": "b", **on["metadata"]}}
        )
        assert [brief(await seen.next()) for _ in range(2)] == [("ADDED", "a"), ("MODIFIED", "a")]
        left = await seen.next()
        # As it was last seen, with the version of the change that took it out of view.
        assert brief(left) == ("DELETED", "a")
        assert left["object"]["data"] == {"x": "2"}
        assert left["object"]["metadata"]["resourceVersion"] == off["metadata"]["resourceVersion"]
        assert brief(await seen.next()) == ("ADDED", "b")


async def test_a_field_selector_and_a_name(api: Api) -> None:
    start = api.core.store.revision
    async with (
        api.watch(PODS, resourceVersion=start, fieldSelector="spec.nodeName=n1") as on_node,
        api.watch(f"{PODS}/b", resourceVersion=start) as named,
    ):
        for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
            await api.create(PODS, pod(name, nodeName=node))
        assert [brief(await on_node.next())[1] for _ in "ac"] == ["a", "c"]
        assert brief(await named.next()) == ("ADDED", "b")


async def test_the_old_watch_prefix(api: Api) -> None:
    request = Request("GET", "/api/v1/watch/namespaces/default/configmaps")
    async with api.transport.stream(request) as (status, chunks):
        await api.create(CONFIG_MAPS, config_map("a"))
        assert status == 200
        assert b'"ADDED"' in await anext(chunks)


async def test_too_old_a_version_is_an_error_event(tmp_path: Path) -> None:
    clock = ManualClock()
    async with serving(tmp_path, clock=clock, ring_events=1) as api:
        start = api.core.store.revision
        for index in range(4):
            await api.create(CONFIG_MAPS, config_map(f"c{index}"))
        clock.advance(1000)
        await api.core.store.compact()  # type: ignore[attr-defined]
        async with api.watch(CONFIG_MAPS, resourceVersion=start) as seen:
            event = await seen.next()
            assert event["type"] == "ERROR"
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
            assert await seen.rest() == []


async def test_a_watcher_that_sleeps_is_told_to_list_again(tmp_path: Path) -> None:
    async with serving(tmp_path, watch_queue=3) as api:
        others = 0
        async with api.watch(CONFIG_MAPS, resourceVersion=api.core.store.revision) as seen:
            await api.create(CONFIG_MAPS, config_map("first"))
            assert brief(await seen.next()) == ("ADDED", "first")
            others = len(api.core.store.hub) - 1  # type: ignore[attr-defined]
            for index in range(6):
                await api.create(CONFIG_MAPS, config_map(f"c{index}"))
            event = await seen.next()
            assert event["type"] == "ERROR"
            assert event["object"]["code"] == 410
        assert len(api.core.store.hub) <= others  # type: ignore[attr-defined]


async def test_bookmarks_carry_the_progress(tmp_path: Path) -> None:
    config = CoreConfig(bookmark_seconds=0.02)
    async with serving(tmp_path, config=config) as api:
        start = api.core.store.revision
        query = {"resourceVersion": start, "allowWatchBookmarks": "true"}
        async with api.watch(CONFIG_MAPS, **query) as seen:
            await api.create(PODS, pod("unrelated"))
            event = await seen.next()
            while event["object"]["metadata"]["resourceVersion"] == str(start):
                event = await seen.next()
            assert event["type"] == "BOOKMARK"
            assert event["object"]["kind"] == "ConfigMap"
            assert event["object"]["metadata"]["resourceVersion"] == str(start + 1)


async def test_a_watch_ends_in_time_with_a_bookmark(api: Api) -> None:
    query = {"timeoutSeconds": "1", "allowWatchBookmarks": "1"}
    async with api.watch(CONFIG_MAPS, **query) as seen:
        assert [event["type"] for event in await seen.rest()] == ["BOOKMARK"]


async def test_initial_events_end_with_a_marked_bookmark(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with api.watch(CONFIG_MAPS, **query) as seen:
        assert brief(await seen.next()) == ("ADDED", "a")
        mark = await seen.next()
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["object"]["metadata"]["resourceVersion"] == str(api.core.store.revision)
    query["resourceVersionMatch"] = ""
    error = await api.get(CONFIG_MAPS, status=422, watch="true", **query)
    assert error["details"]["causes"][0]["field"] == "resourceVersionMatch"
    await api.get(CONFIG_MAPS, status=422, watch=1, resourceVersionMatch="NotOlderThan")


async def test_a_version_from_the_future_is_refused(api: Api) -> None:
    error = await api.get(CONFIG_MAPS, status=504, watch="1", resourceVersion="99999")
    assert error["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_tables_can_be_watched(api: Api) -> None:
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    query = (("watch", "1"),)
    await api.create(CONFIG_MAPS, config_map("a"))
    async with api.transport.stream(Request("GET", CONFIG_MAPS, query, accept)) as (_, chunks):
        event = orjson.loads(await anext(chunks))
        assert event["object"]["kind"] == "Table"
        assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_an_event_is_encoded_once_for_all(api: Api) -> None:
    first = api.core.store.watch("/core/configmaps/", after=api.core.store.revision)
    async with (
        api.watch(CONFIG_MAPS, resourceVersion=api.core.store.revision) as one,
        api.watch("/api/v1/configmaps", resourceVersion=api.core.store.revision) as two,
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(api.create, CONFIG_MAPS, config_map("a"))
        assert await one.next() == await two.next()
        (event,) = await first.batch()
        assert len(event.notes) == 1
