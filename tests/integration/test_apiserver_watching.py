"""Watches over HTTP: from memory, to many, to slow ones, to an end."""

import http.client

import anyio
import pytest

from .http_world import MAPS, TIMEOUT, world

pytestmark = pytest.mark.anyio
FROM_NOW = f"{MAPS}?watch=1&resourceVersion="
INITIAL = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1"
OPEN = ("apiserver_longrunning_requests", 'resource="configmaps"')


def brief(event):
    obj = event["object"]
    return event["type"], obj["metadata"].get("name", ""), (obj.get("data") or {}).get("k")


async def fill(here, count):
    async with anyio.create_task_group() as tasks:
        limiter = anyio.CapacityLimiter(16)

        async def create(number):
            async with limiter:
                await here.create(f"m-{number:04}", k=str(number), filler="x" * 1000)

        for number in range(count):
            tasks.start_soon(create, number)


@pytest.fixture
async def here(tmp_path):
    async with world(tmp_path) as made:
        yield made


@pytest.mark.parametrize("more", ["", "&labelSelector=!nothing"])
async def test_what_exists_comes_first_then_what_happens(here, more):
    await fill(here, 150)
    async with here.watch(f"{MAPS}?{INITIAL}{more}") as seen:
        names = []
        while (event := await seen.next())["type"] == "ADDED":
            names.append(event["object"]["metadata"]["name"])
        assert event["type"] == "BOOKMARK"
        annotations = event["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}
        assert [name for name in names if name.startswith("m-")] == sorted(
            f"m-{number:04}" for number in range(150)
        )
        await here.change("m-0000", k="new")
        await here.ask("DELETE", f"{MAPS}/m-0001")
        assert brief(await seen.next()) == ("MODIFIED", "m-0000", "new")
        assert brief(await seen.next())[:2] == ("DELETED", "m-0001")


async def test_every_watcher_sees_every_event_once_and_in_order(here):
    made = await here.create("busy", k="start")
    version = made["metadata"]["resourceVersion"]
    expected = [("MODIFIED", "busy", str(number)) for number in range(20)]
    kinds = ["", "&fieldSelector=metadata.name=busy", "&allowWatchBookmarks=true"]
    ready = []

    async def follow(more):
        async with here.watch(f"{FROM_NOW}{version}{more}") as seen:
            ready.append(more)
            assert [brief(await seen.next()) for _ in expected] == expected

    async with anyio.create_task_group() as tasks:
        for number in range(24):
            tasks.start_soon(follow, kinds[number % len(kinds)])
        for number in range(20):
            await here.change("busy", k=str(number))
    assert len(ready) == 24
    await here.until_metric(0, *OPEN)


async def test_tables_and_metadata_are_watched_too(here):
    version = (await here.create("t"))["metadata"]["resourceVersion"]

    async def first(accept):
        context = here.admin
        path = f"{FROM_NOW}{version}&timeoutSeconds=30"
        connection = http.client.HTTPSConnection(
            "127.0.0.1", here.serving.port, timeout=TIMEOUT, context=context
        )
        await anyio.to_thread.run_sync(
            lambda: connection.request("GET", path, headers={"accept": accept})
        )
        answer = await anyio.to_thread.run_sync(connection.getresponse)
        await here.until_metric(1, *OPEN)
        await here.change("t", k="1")
        line = await anyio.to_thread.run_sync(answer.readline)
        connection.close()
        await here.until_metric(0, *OPEN)
        return line

    table = await first("application/json;as=Table;v=v1;g=meta.k8s.io")
    assert b'"kind":"Table"' in table
    partial = await first("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert b'"kind":"PartialObjectMetadata"' in partial


async def test_a_watch_ends_in_good_order_when_its_time_is_over(here):
    version = (await here.create("e"))["metadata"]["resourceVersion"]
    path = f"{FROM_NOW}{version}&timeoutSeconds=1&allowWatchBookmarks=true"
    async with here.watch(path) as seen:
        (last,) = await seen.rest()
    assert last["type"] == "BOOKMARK"
    assert int(last["object"]["metadata"]["resourceVersion"]) >= int(version)


async def test_bookmarks_come_from_time_to_time(tmp_path):
    async with world(tmp_path, core={"bookmark_seconds": 0.2}) as here:
        version = (await here.create("b"))["metadata"]["resourceVersion"]
        path = f"{FROM_NOW}{version}&allowWatchBookmarks=true"
        async with here.watch(path) as seen:
            first = await seen.next()
            changed = await here.change("b", k="1")
            while (event := await seen.next())["type"] == "BOOKMARK":
                assert event["object"]["metadata"].keys() == first["object"]["metadata"].keys()
            assert brief(event) == ("MODIFIED", "b", "1")
            after = await seen.next()
            assert int(after["object"]["metadata"]["resourceVersion"]) >= int(
                changed["metadata"]["resourceVersion"]
            )


async def test_a_watcher_that_does_not_read_is_ended_and_others_go_on(tmp_path):
    async with world(tmp_path, face={"watch_queue": 8}) as here:
        version = (await here.create("s"))["metadata"]["resourceVersion"]
        async with (
            here.watch(f"{FROM_NOW}{version}", buffer=4096) as sleeper,
            here.watch(f"{FROM_NOW}{version}") as reader,
        ):
            slow = "cloudwright_apiserver_slow_watches_total"
            with anyio.fail_after(TIMEOUT):
                number = 0
                while not await here.metric(slow):
                    await here.change("s", k=f"{number} " + "x" * 200_000)
                    assert brief(await reader.next())[2].startswith(f"{number} ")
                    number += 1
            events = await sleeper.rest()
            assert events[-1]["type"] == "ERROR"
            assert events[-1]["object"]["code"] == 410
            await here.change("s", k="on")
            assert brief(await reader.next()) == ("MODIFIED", "s", "on")


async def test_clients_that_leave_are_forgotten(here):
    await fill(here, 20)
    for more in ("", "&labelSelector=a", "&resourceVersion=0"):
        async with here.watch(f"{MAPS}?watch=1{more}"):
            await here.until_metric(1, *OPEN)
        await here.until_metric(0, *OPEN)


async def test_the_server_ends_watches_when_it_stops(tmp_path):
    async with world(tmp_path) as here:
        version = (await here.create("z"))["metadata"]["resourceVersion"]
        opened = here.watch(f"{FROM_NOW}{version}")
        seen = await opened.__aenter__()
    assert await seen.rest() == []
    await opened.__aexit__(None, None, None)


async def test_many_watches_at_once_begin_from_one_snapshot(here):
    await fill(here, 60)
    count = 300
    limiter = anyio.CapacityLimiter(20)
    ready = anyio.Event()
    waiting = 0

    async def follow():
        nonlocal waiting
        async with here.watch(f"{MAPS}?{INITIAL}") as seen:
            async with limiter:
                added = 0
                while (event := await seen.next())["type"] == "ADDED":
                    added += event["object"]["metadata"]["name"].startswith("m-")
                assert added == 60
            waiting += 1
            if waiting == count:
                ready.set()
            await ready.wait()
            async with limiter:
                while brief(event := await seen.next()) != ("MODIFIED", "m-0000", "told"):
                    assert event["type"] == "BOOKMARK"

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(follow)
        await ready.wait()
        await here.change("m-0000", k="told")
